"""Texts of the help screen: columns and marks of each tab."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.reporting.score_text import TIE_MARK, UNKNOWN_MARK
from pixart_tui.tui.drawing import glyphs

STATES: Final = f"""\
{glyphs.QUEUED} queued   waits for its device, or is starting
{glyphs.RUNNING} running  {glyphs.DONE} done  {glyphs.FAILED} failed
{glyphs.CANCELLED} cancelled by the user
{glyphs.STALE} stale    its worker is gone without a word"""

TEXTS: Final[dict[str, str]] = {
    "runs": """\
progress  samples or layers of a profile, cases of a benchmark: done/all
ETA       time left, as far as it is known
age       since it was created: s, m, h or d
Below: what was asked of the run under the cursor, and where its work is,
or why it ended and what to do. Runs go on when this terminal closes.""",
    "profile": f"""\
map       rows are kinds of layers, columns are blocks; a bar's height is
          the loss beside the bf16 floor;
          {glyphs.PENDING} to come   {glyphs.EXCLUDED} excluded
#         rank, the most sensitive layer first; 3{TIE_MARK}: not told apart from
          the third; 3{UNKNOWN_MARK}: one image tells no luck from sensitivity
log scale {glyphs.MEAN} mean, {glyphs.INTERVAL} its 95% interval for other prompts
          {glyphs.FLOOR} bf16 floor: all in bfloat16, nothing quantized
          {glyphs.NOISE} noise over prompts and seeds
1-SSIM    loss against the image with nothing quantized
PSNR      in dB, exhaustive alone; FLOPs: its share of all linear layers
sample    a prompt with a seed; the cut: which layers would be quantized
{glyphs.FAILED} the image broke: keep this layer
{NO_GAIN_MARK} no faster when quantized, by this device's measured times""",
    "select": f"""\
map       what is quantized with what; curve: loss over share, OneDiff's
          rule beside it; {glyphs.POINT} this choice, and what was verified
{glyphs.CHOSEN} quantized   {glyphs.KEPT} kept as it is   {NO_GAIN_MARK} no faster when quantized
{glyphs.SOME_STEPS} quantized, but not at the kept steps
summed    loss of this layer and of all above it: predicted, not
          verified, until all chosen layers are measured at once
Rules     top percentage: OneDiff's, by count; FLOPs or time share: the
          least loss for that much; max loss: the most within it""",
    "bench": f"""\
Each column is a case, the first is the eager pipeline; percentages compare
with it. it/s: denoising steps a second; E2E: a whole call; warm-up: the
first call, with empty caches and with filled ones. "simulated" stands in
place of a speed where no kernel ran.
{glyphs.QUEUED} to come   {glyphs.RUNNING} at work   {glyphs.DONE} done   {glyphs.FAILED} failed""",
    "compare": """\
unquantized, quantized and the difference, amplified as the text says;
a run keeps some: a profile with every layer quantized, or each alone
(exhaustive), a benchmark of its rows, a verification of its prompts;
compare makes more.
The files stand at the paths beside them.""",
    "log": f"""\
All that the worker and its libraries printed, without their control codes;
of a progress bar the last state. {glyphs.RUNNING} stands at the line that was found.
At the end it follows what is printed; scrolling up stops that.
The log as a file: pixart-tui logs RUN""",
}
"""A text for each tab, by its id."""

KEYS: Final[dict[str, str]] = {
    "new_run": "start a run: a form asks what",
    "resume_run": "go on with one that failed or stopped",
    "cancel_run": "stop one that is queued or running; asks first",
    "delete_run": "delete one that has ended; asks first",
    "open_log": "the log of the run that is looked at",
    "open_run": "the run under the cursor, in its own tab",
    "help": "this help",
    "leave": "leave; what runs goes on: pixart-tui attach RUN",
    "redraw": "draw all again, where something wrote over it",
    "palette": "every screen and action by its name, and the themes",
    "less": "turn the rule's parameter; with shift ten at once",
    "more": "the rule's parameter up",
    "much_less": "ten steps down",
    "much_more": "ten steps up",
    "next_rule": "next rule: top percentage, a share, max loss",
    "next_quant_type": "the next of the quant types that were measured together",
    "choose_steps": "choose the steps that stay in 16 bits too, or none",
    "save_selection": "save NAME.selected.json beside the profile",
    "bench_selection": "save it and benchmark it",
    "verify_selection": "measure all chosen layers at once, repair, save",
    "show_curve": "the curve or the layers, where both have no room",
    "flick": "unquantized, then quantized",
    "show_difference": "the difference",
    "all_three": "all three side by side, or one",
    "pair_before": "the prompt, layer or row before",
    "pair_after": "the next one",
    "open_pictures": "the pictures of the run that is looked at",
    "make_pictures": "make the layer's pictures in a run; asks first",
    "layer_details": "the layer under the cursor in detail",
    "filter_layers": "show only layers whose name holds a text",
    "sort_layers": "sort by the next column",
    "show_map": "map and table, or the table",
    "next_face": "in detail: the next picture",
    "back": "back to the table, no filter",
    "block_before": "same layer, block before",
    "block_after": "same layer, next block",
    "layer_above": "same block, layer above",
    "layer_below": "same block, layer below",
    "search_log": "look for a text",
    "find_next": "the next line that holds it, from the top again",
    "find_previous": "the line before that holds it",
    "follow_log": "the end of the log, and on as it grows",
}
"""Longer descriptions of keys than the footer holds, by the binding's id."""
