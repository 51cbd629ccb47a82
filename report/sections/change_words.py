"""Captions and notes of the section on change over time."""

VERDICT = (
    "The model's result for each pair's total: progressed, if the interval of the change lies above 0; not progressed, if it "
    "ends below the smallest detectable change of one reader at the same level; otherwise undecided (cannot tell). Other "
    "columns: the share of these pairs whose change by the named rater is above 0, or above the smallest detectable change "
    "(SDC), with 95 % intervals."
)
ERROR = (
    "Measurement error of a change, in points. SDC, the smallest detectable change, is 1.96 SD(d) / (√2 √k), where d is the "
    "difference of two raters' change scores and k the number of raters averaged; its 80 % version has 1.28 in place of 1.96. "
    "SDD, the smallest detectable difference, is √2 SDC. Bruynesteyn et al. 2005 recommend the SDC for films read in pairs; "
    "here each visit was read alone. Brackets: 95 % bootstrap intervals over persons."
)
ICC = (
    "Agreement on status (the total at a visit) and on progression (its change between visits): intraclass correlation, two-way "
    "random effects, absolute agreement, of a single rater and of the mean of the raters named; 1 is perfect agreement, 0 is "
    "chance. Agreement on status is high where patients differ much from each other; trials measure progression, on which it is "
    "harder to agree. 95 % bootstrap intervals over persons."
)
COVERAGE = (
    "Share of pairs whose change by reader 1 lies inside the model's interval, with its own 95 % interval over persons; the "
    "median width of the interval, in points or grades; and the calibration factor that widened or narrowed it."
)
INTERVAL = (
    "The interval of a change combines those of the two visits as if their errors were independent (Zou & Donner 2008). It is "
    "multiplied by a factor that is chosen so that it covers the changes of other training persons (split conformal prediction, "
    "all visits of a person kept together). The table shows the factor of test pairs, from {persons} training persons with two "
    "visits; the factor of a training pair comes from the other folds. An interval is never shorter than that of a lower level."
)
TOO_FEW = (
    " These persons are too few to calibrate the {levels} interval, whose factor is therefore 1: it assumes that the errors of "
    "the two visits are independent, and is too wide where a patient's two visits are misread in the same direction."
)
SHARE = (
    "Share of persons whose total rose from the first to the last visit by more than 0, 0.5 and the smallest detectable change "
    "(SDC) of one reader, with Wilson intervals. The model's total is not a whole number, so its share above 0 includes very "
    "small changes; compare raters by the share above the SDC."
)
SITES = (
    "Share of joint sites whose whole grade rose or fell from one visit to the next. Damage rarely heals, so most falls are "
    "measurement errors, and about as many of the rises must be errors too. Last column: sites whose change by the model has a "
    "95 % interval above 0."
)
SINGLE = (
    "Change of the total in single pairs of visits, at most {shown}, those with the largest change by reader 1 first. The "
    "model's change has its 95 % interval."
)
JOINTS = (
    "Single joint sites whose change has a 95 % interval above 0, at most {shown}, those with the highest lower limit first. "
    "Among so many sites some are listed by chance. python -m evaluation.changes writes all changes with their intervals."
)
NOTE = (
    "Training patients were scored by models that were trained without them (out of fold), test patients by the final models; "
    "they are pooled unless stated otherwise. Change is the later visit minus the earlier one; above 0 is progression."
)
MISSING = (
    "Change cannot be measured: no person of this set has two visits that both reader 1 and the model scored. people.csv states "
    "which sets of films belong to one person: Patient_ID, person_id, visit."
)
FEW = " With so few persons all estimates below are imprecise."
CURVES = (
    "Cumulative probability plots of the change of the total from the first to the last visit. Each mark is a person, in the "
    "order of the change: the curve shows the share of persons with at most that change. Dashed: smallest detectable change of "
    "one reader. Right: persons with more and with less damage than the median at the first visit, by reader 1."
)
SCATTER = (
    "Each mark is a pair of successive visits; bars: the model's 80 % interval, coloured by its verdict; line: equal changes."
)
