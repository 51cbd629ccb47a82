"""What the tables of change say under themselves."""

VERDICT = (
    "What the model says of each pair's total: progressed, when the interval of the change lies above 0; not progressed, "
    "when it ends below the smallest detectable change of one reader at the same level; else it cannot tell. Shares with "
    "95 % intervals."
)
ERROR = (
    "The error of a change, in points. SDC, the smallest detectable change, is 1.96 SD(d) / (√2 √k), d the difference of "
    "two raters' changes and k how many are averaged; its 80 % version has 1.28. SDD, the smallest detectable "
    "difference, is √2 SDC. Bruynesteyn et al. 2005 hold the SDC for the right one where a person's films are read side "
    "by side; here each visit was read alone. In brackets 95 % bootstrap intervals over persons."
)
ICC = (
    "Agreement on where patients stand (status) and on how far they moved (progression): intraclass correlation, two-way "
    "random, absolute agreement, of one rater and of the mean of those named; 1 is perfect, 0 is chance. Where patients "
    "differ much, status is easy to agree on; progression is the harder question and the one a trial asks. 95 % "
    "bootstrap intervals over persons."
)
COVERAGE = (
    "Share of pairs whose change by reader 1 lies inside the model's interval, with its own 95 % interval over persons; "
    "the median width of that interval, in points or grades; and the factor that it was widened or narrowed by."
)
INTERVAL = (
    "The interval of a change joins those of the two visits as if their errors were independent (Zou & Donner 2008), "
    "times a factor that makes it cover the training pairs of other persons (split conformal prediction, persons kept "
    "whole). The factor shown is that of test pairs, learned from {persons} training persons with two visits; that of a "
    "training pair is learned from the other folds. An interval is never shorter than that of the level below."
)
TOO_FEW = (
    " For the {levels} interval they are too few and the factor is 1: the errors of the two visits are taken as "
    "independent, which is too wide where a patient is misread alike at both."
)
SHARE = (
    "Share of persons whose total rose from the first to the last visit by more than 0, 0.5 and the smallest detectable "
    "change of one reader, with Wilson intervals. The model's total is not a whole number, so that its share above 0 "
    "counts any tremble: compare it above the SDC."
)
SITES = (
    "Joints: share of sites whose whole grade rose or fell from one visit to the next. Damage hardly ever heals, so that "
    "what fell is mostly error, and about as much of what rose. Last column: the model's sites whose 95 % interval of "
    "the change lies above 0."
)
SINGLE = (
    "Single pairs, the largest change of reader 1 first, at most {shown}: change of the total, the model's with its 95 % "
    "interval."
)
JOINTS = (
    "Single joint sites whose 95 % interval of the change lies above 0, the surest first, at most {shown}; of very many "
    "sites some are here by chance. All changes with their intervals: python -m evaluation.changes."
)
NOTE = (
    "Training patients were read by models that never saw them (out of fold), test patients by the final ones, so both "
    "are taken together where nothing else is said. Change is the later visit less the earlier; above 0 is worse."
)
LACKING = (
    "No person of this set has two visits that reader 1 and the model scored, so nothing can be said of change. "
    "people.csv tells which sets of films are one person's: Patient_ID, person_id, visit."
)
FEW = " That is few: every figure below is wide, and none of them is a property of the method."
CURVES = (
    "Cumulative probability of the change of the total from the first to the last visit. Each mark is a person, the "
    "least change first: a curve is read as the share of persons with that change or less. Dashed: smallest detectable "
    "change of one reader. Groups: halves by reader 1's total at the first visit."
)
SCATTER = "Each mark a pair of successive visits; bars: the model's 80 % interval, and what it says by it; line: equal changes."
