"""A page that shows pseudo-labels in the order in which to correct them."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

PAGE = 'correct.html'
_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 72rem; padding: 0 1rem; }
.entry { border-top: 1px solid var(--line); display: grid; gap: .75rem; padding: 1rem 0; }
.entry { grid-template-columns: 14rem 1fr; }
.entry img { max-width: 100%; height: auto; }
.class { border-left: .9rem solid; margin-right: 1rem; padding-left: .3rem; }
.pictures { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); }
.bar { background: var(--line); height: .5rem; } .bar div { background: #2a7de1; height: 100%; }
figure { margin: 0; } figcaption { font-size: .8rem; opacity: .75; }
@media (max-width: 40rem) { .entry { grid-template-columns: 1fr; } }
"""


def write_page(output: Path, entries: Sequence, threshold: float, classes: Sequence[str], palette) -> Path:
    """Writes correct.html beside the pictures that it shows.

    Args:
      output: folder of the pseudo-labels. entries: `Entry`, least certain first. threshold: probability from which
        pixels kept their class. classes: C names. palette: uint8 [C, 3].
    """
    legend = ' '.join(f'<span class="class" style="border-color: rgb({r},{g},{b})">{escape(name)}</span>'
                      for name, (r, g, b) in zip(classes, palette.tolist()))
    rows = ''.join(_row(number, entry) for number, entry in enumerate(entries, 1))
    path = output / PAGE
    path.write_text(f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Pseudo-labels to correct</title>
<style>{_STYLE}</style><h1>{len(entries)} pseudo-labels to correct</h1>
<p>Least certain first: what you correct at the top teaches most. Pixels below a probability of {threshold:g} are
ignored by the next run; give them a class where you can. Black in the right picture is where the network was
least certain.</p>
<p>{legend}</p>{rows}</html>
""", encoding='utf-8')
    return path


def _row(number: int, entry) -> str:
    link = lambda end: quote(f'{entry.id}{end}')
    pictures = ''.join(f'<figure><a href="{link(end)}"><img loading="lazy" src="{link(end)}" alt="{caption}"></a>'
                       f'<figcaption>{caption}</figcaption></figure>' for end, caption in
                       (('_overlay.jpg', 'kept classes over the image'), ('_confidence.png', 'probability')))
    bar = f'<div class="bar" title="mean probability"><div style="width: {100 * entry.confidence:.1f}%"></div></div>'
    return (f'<div class="entry"><div><b>{number}. {escape(entry.id)}</b><p>mean probability {entry.confidence:.3f}'
            f'{bar}{entry.kept:.0%} of the pixels keep a class</p></div><div class="pictures">{pictures}</div></div>\n')
