"""The verdict on every claim of `claims`.

Over runs that differ in their seed alone a claim's quantity gets a 95% interval, and the claim holds if its rule does
at both ends of the interval.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from helpers import profiles
from helpers.figures.style import SPACE_TITLES
from helpers.pretrained.paper_models import PAPER_MODELS, is_instruction_tuned
from helpers.tables import columns
from helpers.verdict.claims import ANY, CLAIMS, END, EVERY, OURS, PEAK, SHARE, Claim, Condition, Rule, Tables, late

HOLDS, NO_MORE = "holds", "holds, but no more than untrained"
CONDITION, FAILS = "holds under a condition", "does not hold"
UNDECIDED, UNMEASURED = "undecided", "not measured"
VERDICTS = (HOLDS, NO_MORE, CONDITION, FAILS, UNDECIDED, UNMEASURED)
PLURAL = {
    HOLDS: "hold", NO_MORE: "hold, but no more than untrained", CONDITION: "hold under a condition",
    FAILS: "do not hold", UNDECIDED: "are undecided", UNMEASURED: "are not measured",
}  # fmt: skip
SINGULAR = {UNDECIDED: "is undecided", UNMEASURED: "is not measured"}  # the others are singular as they stand
BOTH_SIDES = "the interval lies on both sides of the rule's number; more seeds would tell"
ANYTHING = (float("-inf"), float("inf"))  # bounds of a quantity that has none
ONE_SEED = "one seed has no interval; make verdict adds more"
TRAINED, UNTRAINED = "trained", "untrained"  # the model that a quantity is measured on
NUMBERS = dict.fromkeys(("ours", "low", "high", "otherwise", "untrained", "gain", "gain_low", "gain_high"), float)
NUMBERS |= {"width": "Int64"}  # missing where there is none
PARTS = {"data.seed": "data", "training.init_seed": "initialisation", "training.order_seed": "order"}
WIDTHS = (768, 32, 2048)  # the paper's models
LIKE_TABLE_1 = 0.1  # how far our F1 may be from the one that Table 1 prints
HIGH = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # what a share may have to be above to be called high


def quantities(tables: Tables, claims: tuple[Claim, ...] = (*CLAIMS, *OURS), early: bool = False) -> pd.DataFrame:
    """Every claim's quantity on every run of some tables.

    Args:
        tables: of notebooks 02 to 04, of controls and of interventions, with columns width, seed and reading.
        claims: whose quantities to measure.
        early: also measure claims about late training on runs that stop earlier; to look at, not to judge by.

    Returns:
        run (of a sweep), width, seed, reading, claim, space, at (end or peak), model (trained or untrained), value;
        NaN is left out.
    """
    by = [c for c in ("run", "width", "seed", "reading") if c in tables["training"]]
    rows = []
    for place, _ in tables["training"].groupby(by, sort=False):
        one = {n: t[(t[by] == pd.Series(place, by)).all(axis=1)] for n, t in tables.items() if set(by) <= set(t)}
        known = dict(zip(by, place, strict=True))
        rows += [known | row for row in _of_run(one, claims, early or late(one))]
    return pd.DataFrame(rows, columns=[*by, "claim", "space", "at", "model", "value"])


def joined(measured: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Two tables as one; where both have a width and reading, only the second's rows of it are kept.

    Args:
        measured, others: from `quantities`.
    """
    known = set(zip(others["width"], others["reading"], strict=True))
    mine = [place not in known for place in zip(measured["width"], measured["reading"], strict=True)]
    return pd.concat([measured[mine], others], ignore_index=True)


def _of_run(tables: Tables, claims: tuple[Claim, ...], is_late: bool) -> list[dict]:
    """The quantities of one run, as rows."""
    start = {n: t[t["epoch"] == 0] for n, t in tables.items() if "epoch" in t and n != "alternatives"}
    rows = []
    for claim in claims:
        for space, at in claim.places:
            if not is_late and claim.late and at == END:
                continue
            of = {TRAINED: tables} | ({UNTRAINED: start} if claim.untrained else {})
            values = {model: claim.measure(table, space, at) for model, table in of.items()}
            place = {"claim": claim.key, "space": space, "at": at}
            rows += [place | {"model": m, "value": v} for m, v in values.items() if np.isfinite(v)]
    return rows


def interval(values, bounds: tuple[float, float] = ANYTHING) -> tuple[float, float, float]:
    """Mean and 95% interval of a quantity over seeds.

    Student's t. A quantity with two bounds is transformed by the arcsine of its square root first, which makes the
    variance of a share even and keeps the interval within the bounds; one with a single bound is cut there. Coverage
    for 3 to 5 seeds drawn from a Beta distribution: 93 to 95%, and 85 to 92% where single seeds reach a bound (a test
    simulates some of them).

    Args:
        bounds: the least and the greatest value that the quantity can have.

    Returns:
        mean, low, high; for one value alone low and high are infinite.
    """
    values = np.asarray(values, dtype=float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, float("-inf"), float("inf")
    least, greatest = bounds
    between = np.isfinite(bounds).all()
    scaled = np.arcsin(np.sqrt(((values - least) / (greatest - least)).clip(0, 1))) if between else values
    half = float(stats.t.ppf(0.975, n - 1) * scaled.std(ddof=1) / np.sqrt(n))
    ends = scaled.mean() - half, scaled.mean() + half
    if between:
        ends = (least + (greatest - least) * np.sin(np.clip(end, 0, np.pi / 2)) ** 2 for end in ends)
    low, high = (float(np.clip(end, least, greatest)) for end in ends)
    return mean, low, high


@dataclass(frozen=True)
class Evidence:
    """What the runs of one width say about a claim in one space.

    Attributes:
        quantity: what was measured, in words.
        space, at: where.
        ours, low, high: mean and 95% interval over seeds; low and high are infinite for one seed.
        seeds: number of runs.
        untrained: mean over the untrained models; None if that is not compared.
        gain: mean and 95% interval of the difference from the same seed's untrained model; None likewise.
        answer: of the claim's rule; None if the interval lies on both sides.
    """

    quantity: str
    space: str
    at: str
    ours: float
    low: float
    high: float
    seeds: int
    untrained: float | None
    gain: tuple[float, float, float] | None
    answer: bool | None

    @property
    def by_training(self) -> bool:
        """Whether training has something to do with it: the whole interval of the gain is above 0, if it has one."""
        return self.gain is None or self.gain[1] > 0


@dataclass(frozen=True)
class Decision:
    """A verdict, the evidence that decides it (None without any), and its condition or what is missing.

    `otherwise` is what was measured where the paper looks, if the evidence is from elsewhere.
    """

    verdict: str
    evidence: Evidence | None
    condition: str = ""
    otherwise: Evidence | None = None


def judge(measured: pd.DataFrame, widths: tuple[int, ...] = WIDTHS) -> pd.DataFrame:
    """The verdict on every claim at every width, for each reading that was measured.

    In the paper's own spaces a claim
    - holds, if the whole interval meets its rule in one of them, and the gain over the untrained models (paired by
      seed) lies above 0;
    - holds, but no more than untrained, if only the rule is met;
    - holds under a condition, if neither is so there, and rule and gain are both so under one of its conditions;
    - does not hold, if the whole interval fails the rule in all of them;
    - is undecided, if an interval lies on both sides of the rule's number;
    - is not measured otherwise, with what is missing.

    Args:
        measured: from `quantities`.

    Returns:
        The columns of claims.csv; one row a claim, reading and width.
    """
    rows = []
    for place, mine in _places(measured, widths):
        asked = (claim for claim in EVERY.values() if place["width"] in (claim.widths or widths))
        rows += [_row(claim, decide(claim, mine)) | place for claim in asked]
    return _claims_table(rows)


def _places(measured: pd.DataFrame, widths: tuple[int, ...]) -> list[tuple[dict, pd.DataFrame]]:
    """Each reading and width, with what was measured there: seeds are compared within one reading alone."""
    readings = measured["reading"].unique() if len(measured) else [profiles.DEFAULT]
    found = []
    for reading, width in itertools.product(readings, widths):
        mine = measured[(measured["reading"] == reading) & (measured["width"] == width)]
        found.append(({"reading": reading, "width": width}, mine))
    return found


def decide(claim: Claim, measured: pd.DataFrame) -> Decision:
    """The verdict on one claim at one width.

    Args:
        measured: quantities of the runs of that width.
    """
    own = [found for space in claim.spaces if (found := _evidence(claim, measured, claim.key, space, END))]
    if not own:  # an unmeasured claim holds under no condition either
        return Decision(UNMEASURED, None, _missing(claim, measured))
    if shown := [found for found in own if found.answer]:
        best = max(shown, key=lambda found: found.by_training)
        return Decision(HOLDS if best.by_training else NO_MORE, best)
    best = min(own, key=lambda found: (found.answer is False, claim.rule.short(found.ours)))
    if max(found.seeds for found in own) < 2:
        return Decision(UNDECIDED, best, ONE_SEED)
    under = [(c, found) for c in claim.conditions if (found := _under(claim, c, measured))]
    met = [(c, found) for c, found in under if found.answer and found.by_training]
    if met:
        return Decision(CONDITION, met[0][1], "; or ".join(dict.fromkeys(c.words for c, _ in met)), best)
    if all(found.answer is False for found in own):
        return Decision(FAILS, best)
    return Decision(UNDECIDED, best, BOTH_SIDES)


def _missing(claim: Claim, measured: pd.DataFrame) -> str:
    """What a quantity lacks that was not measured, though others may have been (`measured`)."""
    ends = measured[measured["at"] == END]["claim"]
    is_late = any(EVERY[key].late for key in ends)  # the runs have gone so far, if one of these quantities is there
    needs = ["half of its schedule behind it"] * (claim.late and not is_late) + [claim.needs] * bool(claim.needs)
    if len(measured) and not needs:
        return "needs what the runs of this width have not recorded"
    return f"needs a run of this width{' with ' if needs else ''}{' and '.join(needs)}"


def _under(claim: Claim, condition: Condition, measured: pd.DataFrame) -> Evidence | None:
    return _evidence(claim, measured, condition.claim or claim.key, condition.space, condition.at)


def _evidence(claim: Claim, measured: pd.DataFrame, key: str, space: str, at: str) -> Evidence | None:
    """What was measured in one place, under the claim's rule; None if nothing was."""
    mine = measured[(measured["claim"] == key) & (measured["space"] == space) & (measured["at"] == at)]
    values = mine[mine["model"] == TRAINED].set_index(["seed"])["value"]
    if not len(values):
        return None
    mean, low, high = interval(values, claim.bounds)
    untrained = mine[mine["model"] == UNTRAINED].set_index(["seed"])["value"]
    before = float(untrained.mean()) if len(untrained) else None
    gain = _gain(values, untrained, claim.bounds) if len(untrained) else None
    answer = claim.rule.of(low, high)
    return Evidence(EVERY[key].quantity, space, at, mean, low, high, len(values), before, gain, answer)


def _gain(after: pd.Series, before: pd.Series, bounds: tuple[float, float]) -> tuple[float, float, float]:
    """Mean and interval of the difference from the untrained model of the same seed."""
    reach = bounds[1] - bounds[0]
    return interval((after - before).dropna(), (-reach, reach))


def _row(claim: Claim, decided: Decision) -> dict:
    """A row of claims.csv, without its reading and width."""
    row = {"claim": claim.key, "where": claim.where, "paper": claim.paper, "verdict": decided.verdict,
           "condition": decided.condition, "seeds": 0}  # fmt: skip
    if decided.otherwise:
        row |= {"otherwise": decided.otherwise.ours}
    quantity = claim.quantity
    if found := decided.evidence:
        bounds = {name: value if np.isfinite(value := getattr(found, name)) else None for name in ("low", "high")}
        row |= {"ours": found.ours, **bounds, "seeds": found.seeds, "untrained": found.untrained}
        if found.gain:
            ends = dict(zip(("gain", "gain_low", "gain_high"), found.gain, strict=True))
            row |= {name: value if np.isfinite(value) else None for name, value in ends.items()}
        instead = ", at the epoch where it is highest" if found.at == PEAK else ""
        quantity = found.quantity + ("" if found.space == ANY else f" ({SPACE_TITLES[found.space]}{instead})")
    return row | {"quantity": f"{quantity}; rule: {claim.rule}"}


def _claims_table(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).reindex(columns=columns("claims")).astype(NUMBERS)


def at_thresholds(measured: pd.DataFrame, widths: tuple[int, ...] = WIDTHS) -> pd.DataFrame:
    """The verdict on every claim that a share is high, for several numbers that it must be above.

    The paper says 'high' more often than it gives a number; this says how far the verdict is ours.

    Args:
        measured: from `quantities`.

    Returns:
        thresholds.csv: claim, reading, width, number, verdict.
    """
    high = [c for c in EVERY.values() if c.bounds == SHARE and c.rule.above >= 0.5 and np.isinf(c.rule.below)]
    rows = []
    for place, mine in _places(measured, widths):
        for claim, number in itertools.product(high, HIGH):
            verdict = decide(replace(claim, rule=Rule(above=number)), mine).verdict
            rows.append(place | {"claim": claim.key, "number": number, "verdict": verdict})
    return pd.DataFrame(rows, columns=columns("thresholds"))


def how_many(number: int, verdict: str) -> str:
    """How many statements have a verdict, in words: "3 hold", "1 is undecided"."""
    return f"{number} {SINGULAR.get(verdict, verdict) if number == 1 else PLURAL[verdict]}"


def of_paper(claims: pd.DataFrame) -> pd.DataFrame:
    """Rows of claims.csv without the claims that are not in the paper."""
    return claims[~claims["claim"].isin([claim.key for claim in OURS])]


def spread_by_part(table: pd.DataFrame) -> pd.DataFrame:
    """How much each claim's quantity varies when one part of the seed changes and the others stay.

    Args:
        table: parts.csv: variants such as data.seed=1, and the default, whose parts are all 0.

    Returns:
        One row a claim, space, at and model, one column a part: standard deviation over its seeds, the default's too.
    """
    found = {}
    for setting, part in PARTS.items():
        mine = table[(table["variant"] == "default") | table["variant"].str.startswith(f"{setting}=")]
        found[part] = mine.groupby(["claim", "space", "at", "model"])["value"].std()
    return pd.DataFrame(found)


def flipped(variants: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """Settings whose change alone takes a claim to the other side of its rule's number.

    Args:
        variants: multiverse.csv, one run a variant; variants without a value are left out.
        seeds: parts.csv, or no rows: the default again with other seeds.

    Returns:
        One row a claim, space, at and variant on the other side than the default: both values, and `seeds`, the share
        of the other seeds that are there as well (NaN if there are none): where it is high, chance moves the claim too.
    """
    rules = {key: claim.rule for key, claim in EVERY.items()}
    place = ["claim", "space", "at"]
    variants, seeds = (t[t["model"] == TRAINED] for t in (variants, seeds))
    rows = []
    for (key, space, at), part in variants.groupby(place, sort=False):
        values = part.set_index("variant")["value"].dropna()
        if "default" not in values:
            continue
        holds = values.map(lambda value, rule=rules[key]: rule.of(value, value))
        mine = (seeds[place] == pd.Series([key, space, at], place)).all(axis=1) & (seeds["variant"] != "default")
        others = seeds.loc[mine, "value"].map(lambda value, rule=rules[key]: rule.of(value, value))
        moved = others != holds["default"]
        rows += [
            {"claim": key, "space": space, "at": at, "rule": str(rules[key]), "default": values["default"],
             "variant": variant, "value": values[variant], "seeds": moved.mean() if len(moved) else np.nan}
            for variant in values.index if holds[variant] != holds["default"]
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*place, "rule", "default", "variant", "value", "seeds"])


def table1_rows(ours: pd.DataFrame) -> pd.DataFrame:
    """Table 1's rows as claims: one for each of the paper's models, decided by our own probe of that model.

    The rule: our task F1 within LIKE_TABLE_1 of the published one.

    Args:
        ours: table1.csv.
    """
    rows = []
    for model in PAPER_MODELS:
        found = ours[(ours["source"] == "ours") & (ours["model"] == model.hub_id) & (ours["label"] == "task")]
        row = {"claim": "table1", "about": model.name, "where": "3.4, Table 1", "seeds": len(found),
               "quantity": f"task F1 at the best layer; rule: within {LIKE_TABLE_1} of the paper's",
               "paper": f"{model.task[0]:.3f}"}  # fmt: skip
        if len(found):
            value = float(found["f1"].iloc[0])
            verdict = HOLDS if abs(value - model.task[0]) < LIKE_TABLE_1 else FAILS
            row |= {"ours": value, "verdict": verdict, "condition": ""}
        else:
            needs = f"needs {model.gigabytes} GB: make probe MODEL={model.hub_id}"
            row |= {"verdict": UNMEASURED, "condition": needs}
        rows.append(row)
    return _claims_table(rows)


def tuned_rows(ours: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """That states cluster by task in models instruction-tuned or not, as two claims about the models probed here.

    The rule: the lowest task F1 of a kind's models, with the interval over instructions, is above the lowest of Table 1
    less LIKE_TABLE_1, which `table1_rows` allows. One model decides nothing, as one seed decides nothing of a run.

    Args:
        ours: table1.csv.
        intervals: table1_intervals.csv.
    """
    rule, rows = Rule(above=round(min(m.task[0] for m in PAPER_MODELS) - LIKE_TABLE_1, 3)), []
    mine = ours[(ours["source"] == "ours") & (ours["label"] == "task")]
    spread = intervals[(intervals["label"] == "task") & (intervals["metric"] == "f1")]
    mine = mine.merge(spread[["model", "revision", "low", "high"]], on=["model", "revision"])
    for tuned, kind in ((False, "not instruction-tuned"), (True, "instruction-tuned")):
        some = mine[mine["model"].map(is_instruction_tuned) == tuned].sort_values("f1")
        named = " and ".join(m.hub_id for m in PAPER_MODELS if is_instruction_tuned(m.hub_id) == tuned)
        row = {"seeds": 0, "verdict": UNMEASURED,
               "condition": f"no such model was probed; set probe.models to {named}, or to a smaller one"}  # fmt: skip
        for found in some.head(1).itertuples():
            verdict = {True: HOLDS, False: FAILS, None: UNDECIDED}[rule.of(found.low, found.high)]
            condition = f"{found.model}; interval over instructions, not seeds"
            if some["model"].nunique() == 1:
                verdict, condition = UNDECIDED, f"one model alone, {condition}; probe.models adds others"
            row = {"ours": found.f1, "low": found.low, "high": found.high, "seeds": 1, "verdict": verdict,
                   "condition": condition}  # fmt: skip
        rows.append({"claim": "pretrained", "about": kind, "where": "3.4, Table 1",
                     "quantity": f"lowest task F1 of the models probed, best layer; rule: {rule}",
                     "paper": "both kinds cluster by task", **row})  # fmt: skip
    return _claims_table(rows)
