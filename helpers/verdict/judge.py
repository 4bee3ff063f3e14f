"""The verdict on every claim of `claims`, and the runs behind it (make verdict).

Over runs that differ in their seed alone a claim's quantity gets a 95% interval, and the claim's rule is asked of the
interval's both ends.
"""

import numpy as np
import pandas as pd
from scipy import stats

from helpers.pretrained.loading import PAPER_MODELS, is_instruction_tuned
from helpers.verdict.claims import CLAIMS, NO_VIEW, OURS, PEAK, UNTRAINED, Claim, Rule, Tables, late

HOLDS, CONDITION, FAILS, UNTESTED = "holds", "holds under a stated condition", "does not hold", "not tested"
UNDECIDED = "the interval lies on both sides of the rule's number; more seeds would tell"
NUMBERS = dict.fromkeys(("ours", "low", "high", "untrained"), float)  # columns of the verdict; NaN where there is none
PARTS = {"data.seed": "data", "training.init_seed": "initialisation", "training.order_seed": "order"}
WIDTHS = (768, 32, 2048)  # the paper's models


def quantities(tables: Tables) -> pd.DataFrame:
    """Every claim's quantity on every run of some tables.

    Args:
        tables: of notebooks 02 to 04 and of controls and causal, with columns width and seed.

    Returns:
        run (of a sweep), width, seed, claim, space, value; without values that a run cannot tell. A space with
        UNTRAINED behind it has what the untrained model gives.
    """
    by = [c for c in ("run", "width", "seed") if c in tables["training"]]
    rows = []
    for place, _ in tables["training"].groupby(by, sort=False):
        one = {n: t[(t[by] == pd.Series(place, by)).all(axis=1)] for n, t in tables.items() if set(by) <= set(t)}
        half, known = late(one), dict(zip(by, place, strict=True))
        start = {n: t[t["epoch"] == 0] for n, t in one.items() if "epoch" in t and n != "search"}
        for claim in (*CLAIMS, *OURS):
            values = {
                space: claim.measure(one, space)
                for space in (*claim.spaces, *claim.conditions)
                if half or not claim.late or space.endswith(PEAK)
            }
            if claim.untrained:
                values |= {f"{space}{UNTRAINED}": claim.untrained(start, space) for space in dict(values)}
            rows += [known | {"claim": claim.key, "space": s, "value": v} for s, v in values.items() if np.isfinite(v)]
    return pd.DataFrame(rows, columns=[*by, "claim", "space", "value"])


def interval(values) -> tuple[float, float, float]:
    """Mean and 95% interval (Student's t) of a quantity over seeds; an infinite interval for one value alone."""
    values = np.asarray(values, dtype=float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, float("-inf"), float("inf")
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def judge(measured: pd.DataFrame, widths: tuple[int, ...] = WIDTHS) -> pd.DataFrame:
    """The verdict on every claim at every width.

    A claim holds if its rule does for the whole interval in one of the paper's own views; under a stated condition if
    it does in another view alone; does not hold if it fails for the whole interval in all of the paper's own views;
    and is not tested otherwise, with what is missing.

    Args:
        measured: from `quantities`.

    Returns:
        claim, where, quantity, paper, ours, low, high, seeds, verdict, condition, untrained; one row a claim and width.
    """
    rows = [_row(c, w, measured) for w in widths for c in (*CLAIMS, *OURS) if w in (c.widths or widths)]
    return pd.DataFrame(rows).astype(NUMBERS)


def _row(claim: Claim, width: int, measured: pd.DataFrame) -> dict:
    mine = measured[(measured["width"] == width) & (measured["claim"] == claim.key)]
    views = {}
    for space in (*claim.spaces, *claim.conditions):
        values = mine.loc[mine["space"] == space, "value"]
        if len(values):
            mean, low, high = interval(values)
            views[space] = {"ours": mean, "low": low, "high": high, "seeds": len(values),
                            "answer": claim.rule.of(low, high)}  # fmt: skip
    space, verdict, condition = _decide(claim, views)
    shown = views.get(space, {"ours": None, "low": None, "high": None, "seeds": 0})
    finite = {k: v if v is not None and np.isfinite(v) else None for k, v in shown.items() if k != "answer"}
    view, _, instead = space.partition("@")
    named = f" ({view} states{f', {instead}' if instead else ''})" if space not in ("", *NO_VIEW) else ""
    untrained = mine.loc[mine["space"] == f"{space}{UNTRAINED}", "value"]
    return {
        "claim": f"{claim.key}, width {width}",
        "where": claim.where,
        "quantity": f"{claim.quantity}{named}; rule: {claim.rule}",
        "paper": claim.paper,
        **finite,
        "verdict": verdict,
        "condition": condition,
        "untrained": untrained.mean() if len(untrained) else None,
    }


def _decide(claim: Claim, views: dict[str, dict]) -> tuple[str, str, str]:
    """(the view that decides, verdict, condition or what is missing)."""
    own = {s: views[s] for s in claim.spaces if s in views}
    if not own:  # an unmeasured claim holds under no condition either
        needs = ["half of its schedule behind it"] * claim.late + [claim.needs] * bool(claim.needs)
        return "", UNTESTED, f"needs a run of this width{' with ' if needs else ''}{' and '.join(needs)}"
    for space, view in own.items():
        if view["answer"]:
            return space, HOLDS, ""
    best = min(own, key=lambda s: (own[s]["answer"] is False, claim.rule.short(own[s]["ours"])))
    if max(view["seeds"] for view in own.values()) < 2:
        return best, UNTESTED, "one seed has no interval; make verdict adds more"
    met = [space for space in claim.conditions if space in views and views[space]["answer"]]
    if met:
        return met[0], CONDITION, "; or ".join(dict.fromkeys(claim.conditions[space] for space in met))
    if all(view["answer"] is False for view in own.values()):
        return best, FAILS, ""
    return best, UNTESTED, UNDECIDED


def of_paper(claims: pd.DataFrame) -> pd.DataFrame:
    """Rows of claims.csv without the claims that are not in the paper."""
    return claims[~claims["claim"].str.partition(",")[0].isin([claim.key for claim in OURS])]


def spread_by_part(table: pd.DataFrame) -> pd.DataFrame:
    """How much each claim's quantity varies when one part of the seed changes and the others stay.

    Args:
        table: parts.csv: variants such as data.seed=1, and the default, whose parts are all 0.

    Returns:
        One row a claim and space, one column a part: standard deviation over its seeds, the default's included.
    """
    found = {}
    for setting, part in PARTS.items():
        mine = table[(table["variant"] == "default") | table["variant"].str.startswith(f"{setting}=")]
        found[part] = mine.groupby(["claim", "space"])["value"].std()
    return pd.DataFrame(found)


def carried(variants: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """What moves a claim over its rule's number, compared with the default: the claims that a choice carries.

    Args:
        variants: multiverse.csv, one run a variant; a variant of no value there cannot tell.
        seeds: parts.csv, or no rows: the default again with other seeds.

    Returns:
        One row a claim, space and variant on the other side than the default: both values, and `seeds`, the share of
        the other seeds that are there as well (NaN if there are none): where it is high, chance moves the claim too.
    """
    rules = {claim.key: claim.rule for claim in (*CLAIMS, *OURS)}
    variants, rows = variants[~variants["space"].str.endswith(UNTRAINED)], []
    for (key, space), part in variants.groupby(["claim", "space"], sort=False):
        values = part.set_index("variant")["value"].dropna()
        if "default" not in values:
            continue
        holds = values.map(lambda value, rule=rules[key]: rule.of(value, value))
        others = seeds[(seeds["claim"] == key) & (seeds["space"] == space) & (seeds["variant"] != "default")]["value"]
        moved = others.map(lambda value, rule=rules[key]: rule.of(value, value)) != holds["default"]
        rows += [
            {"claim": key, "space": space, "rule": str(rules[key]), "default": values["default"], "variant": variant,
             "value": values[variant], "seeds": moved.mean() if len(moved) else np.nan}
            for variant in values.index if holds[variant] != holds["default"]
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["claim", "space", "rule", "default", "variant", "value", "seeds"])


def table1_rows(ours: pd.DataFrame) -> pd.DataFrame:
    """Table 1's rows as claims: one for each of the paper's models, decided by our own probe of that model.

    The rule: our task F1 within 0.1 of the published one.

    Args:
        ours: table1.csv.
    """
    rows = []
    for model in PAPER_MODELS:
        found = ours[(ours["source"] == "ours") & (ours["model"] == model.hub_id) & (ours["label"] == "task")]
        value = float(found["f1"].iloc[0]) if len(found) else None
        verdict = UNTESTED if value is None else HOLDS if abs(value - model.task[0]) < 0.1 else FAILS
        rows.append(
            {
                "claim": f"table1, {model.name}",
                "where": "3.4, Table 1",
                "quantity": "task F1 at the best layer; rule: within 0.1 of the paper's",
                "paper": f"{model.task[0]:.3f}",
                "ours": value,
                "low": None,
                "high": None,
                "seeds": int(value is not None),
                "verdict": verdict,
                "condition": ""
                if value is not None
                else f"needs {model.gigabytes} GB: make probe MODEL={model.hub_id}",
                "untrained": None,
            }
        )
    return pd.DataFrame(rows).astype(NUMBERS)


def tuned_rows(ours: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """That states cluster by task in models instruction-tuned or not, as two claims about the models probed here.

    The rule: the lowest task F1 of a kind's models, with the interval over instructions, is above the
    lowest of Table 1 less the 0.1 that `table1_rows` allows. It was written when one model had been looked at.

    Args:
        ours: table1.csv.
        intervals: table1_intervals.csv.
    """
    rule, rows = Rule(above=round(min(m.task[0] for m in PAPER_MODELS) - 0.1, 3)), []
    mine = ours[(ours["source"] == "ours") & (ours["label"] == "task")]
    spread = intervals[(intervals["label"] == "task") & (intervals["metric"] == "f1")]
    mine = mine.merge(spread[["model", "revision", "low", "high"]], on=["model", "revision"])
    for tuned, kind in ((False, "not instruction-tuned"), (True, "instruction-tuned")):
        some = mine[mine["model"].map(is_instruction_tuned) == tuned].sort_values("f1").head(1)
        named = " and ".join(m.hub_id for m in PAPER_MODELS if is_instruction_tuned(m.hub_id) == tuned)
        row = {"ours": None, "low": None, "high": None, "seeds": 0, "verdict": UNTESTED, "untrained": None,
               "condition": f"no such model was probed; set probe.models to {named}, or to a smaller one"}  # fmt: skip
        for found in some.itertuples():
            verdict = {True: HOLDS, False: FAILS, None: UNTESTED}[rule.of(found.low, found.high)]
            row = {"ours": found.f1, "low": found.low, "high": found.high, "seeds": 1, "verdict": verdict,
                   "condition": f"{found.model}; interval over instructions, not seeds", "untrained": None}  # fmt: skip
        rows.append({"claim": f"pretrained, {kind}", "where": "3.4, Table 1",
                     "quantity": f"lowest task F1 of the models probed, best layer; rule: {rule}",
                     "paper": "both kinds cluster by task", **row})  # fmt: skip
    return pd.DataFrame(rows).astype(NUMBERS)
