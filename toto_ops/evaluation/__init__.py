"""What a policy is worth, and whether that can be believed: measured, then judged, then reported.

An import may only point down: `controls` and `reports` > `judgement` and `backtests` > `findings` > `baselines` > `statistics`.
"""
