from slt_fast.training.tuning import BEAM_SIZES, LENGTH_PENALTIES, Tried, tuning_table


def test_a_table_of_all_scores_with_a_star_at_the_best() -> None:
    tried = [
        Tried(beams, penalty, 100 if (beams, penalty) == (10, 5) else 10 * beams + penalty)
        for beams in BEAM_SIZES
        for penalty in LENGTH_PENALTIES
    ]
    tried.insert(0, tried.pop())
    header, *lines = tuning_table(tried).splitlines()
    assert [line.split()[0] for line in lines] == [f"{each:g}" for each in LENGTH_PENALTIES]
    rows = [[float(each) for each in line.rstrip("*").split()] for line in lines]
    for beams, penalty, score in tried:
        assert rows[LENGTH_PENALTIES.index(penalty)][beams] == score
    assert [line.count("*") for line in lines] == [0] * 12 + [1] and lines[-1].endswith("100.00*")
    assert header.split() == [*map(str, BEAM_SIZES)]
    for beams in BEAM_SIZES:  # the headings are above the ends of their columns
        assert {len(line[: 7 * beams + 4].rstrip()) for line in [header, *lines]} == {7 * beams + 4}
    assert max(map(len, lines)) < 80


def test_options_of_the_commands() -> None:
    assert Tried(4, -0.5, 1.0).options() == "--beam-size 4 --length-penalty -0.5"
