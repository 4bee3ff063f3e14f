"""Small parts: a legend, and messages, tables and curves as HTML."""

import html

import anywidget
import numpy as np
import pandas as pd
import traitlets


class Legend(anywidget.AnyWidget):
    """Chips of colour and name; a click chooses one, another click lets it go."""

    _esm = """
    export default { render({ model, el }) {
      const draw = () => {
        el.replaceChildren();
        el.className = "clm-legend";
        const chosen = model.get("chosen");
        model.get("items").forEach(([name, colour, count], i) => {
          const chip = document.createElement("button");
          chip.type = "button";
          chip.title = count + " instances: click to select";
          chip.setAttribute("aria-pressed", chosen.includes(i));
          const dot = document.createElement("span");
          dot.style.background = colour;
          chip.append(dot, name);
          chip.onclick = () => {
            const now = model.get("chosen");
            model.set("chosen", now.includes(i) ? now.filter(x => x !== i) : [...now, i]);
            model.save_changes();
          };
          el.append(chip);
        });
      };
      model.on("change:items change:chosen", draw);
      draw();
    } };
    """
    _css = """
    .clm-legend { display: flex; flex-wrap: wrap; gap: 3px; max-height: 9em; overflow-y: auto; margin: 4px 0; }
    .clm-legend button { display: inline-flex; align-items: center; gap: 5px; font-size: 11px; padding: 1px 7px;
      border: 1px solid #bbb; border-radius: 9px; background: transparent; color: inherit; cursor: pointer; }
    .clm-legend button[aria-pressed=true] { border-color: currentColor; box-shadow: inset 0 0 0 1px currentColor; }
    .clm-table-box { overflow: auto; line-height: 1.3; }
    .clm-table { font-size: 12px; border-collapse: collapse; }
    .clm-table th, .clm-table td { padding: 1px 8px; text-align: left; white-space: nowrap; }
    .clm-table tbody tr:nth-child(even) { background: rgb(128 128 128 / 10%); }
    .clm-legend span { width: 9px; height: 9px; border-radius: 50%; display: inline-block; }
    """
    items = traitlets.List([]).tag(sync=True)  # [name, colour, instances]
    chosen = traitlets.List([]).tag(sync=True)


def curve_svg(values: pd.Series, at, title: str) -> str:
    """A small curve as SVG with a cursor at `at`, one of its indices; matplotlib would take 100 ms, this takes none."""
    width, height, left, base = 380, 96, 34, 76
    places = np.linspace(left, width - 8, len(values)) if len(values) > 1 else np.array([(left + width) / 2])
    low, high = min(0.0, float(np.nanmin(values))), max(1.0, float(np.nanmax(values)))
    ys = base - (values.to_numpy(float) - low) / (high - low) * (base - 8)
    known = [(x, y) for x, y in zip(places, ys, strict=True) if np.isfinite(y)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>' for x, y in known)
    here = list(values.index).index(at)
    value = values.iloc[here]
    first, last = (html.escape(str(values.index[i])) for i in (0, -1))
    cursor = f'<line class="cursor" x1="{places[here]:.1f}" x2="{places[here]:.1f}" y1="4" y2="{base}"/>'
    return (
        f'<svg class="clm-curve" role="img" aria-label="{html.escape(title)}: {value:.3f} at {html.escape(str(at))}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" style="display:block;font:10px sans-serif">'
        f'<g stroke="#999" fill="none"><path d="M{left} 4V{base}H{width - 8}"/></g>'
        f'<g fill="currentColor"><text x="{left - 4}" y="12" text-anchor="end">{high:g}</text>'
        f'<text x="{left - 4}" y="{base}" text-anchor="end">{low:g}</text>'
        f'<text x="{left}" y="{base + 13}">{first}</text>'
        f'<text x="{width - 8}" y="{base + 13}" text-anchor="end">{last}</text>'
        f'<text x="{(left + width) / 2}" y="{base + 13}" text-anchor="middle">{html.escape(title)}: '
        f'<tspan font-weight="bold">{value:.3f}</tspan></text></g>'
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.6"/><g fill="#0072b2">{dots}</g>'
        f'<g stroke="#d55e00" stroke-width="1.4">{cursor}</g></svg>'
    )


def offer(control, options: list[tuple]) -> None:
    """Set a control's choices, keeping its value where that is still one of them."""
    before = control.value
    control.options = options
    values = [value for _, value in options]
    control.value = before if before in values else values[0]


def choose(control, name: str, value) -> None:
    """Set a control; ValueError with what it offers if the value is not among that."""
    offered = [v for _, v in control._options_full] if hasattr(control, "_options_full") else [value]
    if value not in offered:
        raise ValueError(f"{name}={value!r} is not offered here; there are {', '.join(map(str, offered))}")
    control.value = value


def box(text: str, wrong: bool = True) -> str:
    """A message as HTML, marked as wrong or not."""
    colour = "#d55e00" if wrong else "#0072b2"
    return f'<div class="clm-say" style="border-left:3px solid {colour};padding:2px 8px">{html.escape(text)}</div>'


def table_html(table: pd.DataFrame, tall: bool = False) -> str:
    """A table as HTML that scrolls in a box."""
    body = table.to_html(border=0, classes="clm-table", escape=True)
    return f'<div class="clm-table-box" style="max-height:{"22em" if tall else "none"}">{body}</div>'


def plain(text: str) -> str:
    """A title without its tags."""
    return html.unescape(text.replace("<b>", "").replace("</b>", ""))
