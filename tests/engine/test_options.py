import sys
import tomllib
from argparse import BooleanOptionalAction, Namespace
from pathlib import Path

import pytest
from project.engine import options
from project.engine.errors import USAGE
from project.engine.options import FREE, resolved, to_toml


def parse(*line: str, needs: dict[str, str] | None = None) -> Namespace:
    """Return the arguments of a script with flags of every kind."""
    sys.argv = ["train.py", *line]
    parser = options.new_parser("Train.")
    needs, add = needs or {}, options.new_group(parser, "data")
    add("--data", type=Path, nargs="+", default=[], help="files")
    add("--max-steps", type=options.whole, help="steps")
    add("--batch-size", type=options.whole, default=64, help="samples")
    add("--lr", type=options.positive, default=1e-3, help="rate")
    add("--weight-decay", type=options.number, default=0.1, help="decay")
    add("--ema", type=options.fraction, default=0.0, help="decay", needs=needs.get("--ema", ""))
    add("--patience", type=options.count, default=0, help="passes")
    layout = {"help": "layout", "needs": needs.get("--channels-last", "")}
    add("--channels-last", action=BooleanOptionalAction, default=True, **layout)
    options.add_hardware(parser, device="auto", amp="bf16", accumulate=2)
    options.add_run(parser, seed=1)
    options.add_inspection(parser)
    return options.parse(parser)


@pytest.fixture(autouse=True)
def _command_line_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)


def refused(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    """Return what is said when a command line is refused."""
    with pytest.raises(SystemExit) as stopped:
        parse(*line)
    assert stopped.value.code == USAGE == 2
    output = capsys.readouterr()
    assert output.out == "" and "Traceback" not in output.err
    return output.err


def test_a_flag_without_the_one_that_it_is_for_is_refused(capsys):
    needs = {"--ema": "--data", "--channels-last": "--patience"}
    with pytest.raises(SystemExit):
        parse("--ema=0.5", needs=needs)
    with pytest.raises(SystemExit):
        parse("--no-channels-last", needs=needs)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "--ema: has no effect without --data; --help lists all flags"
    assert second.startswith("--channels-last: has no effect without --patience")
    parse("--ema=0.5", "--data=x", "--no-channels-last", "--patience=1", needs=needs)
    parse("--ema=0.0", needs=needs)


@pytest.mark.parametrize(
    "line",
    [
        *("--batch-size=0", "--batch-size=-4", "--batch-size=1.5", "--batch-size=many"),
        *("--max-steps=0", "--accumulate=0", "--log-every=0", "--eval-every=-1", "--workers=-1"),
        *("--keep=1", "--max-skips=0", "--eval-batches=-1"),
        *("--on-nonfinite=ignore", "--time-limit=0", "--time-limit=0s", "--time-limit=1m1h"),
        *("--time-limit=", "--time-limit=soon", "--time-limit=-5m", "--time-limit=inf"),
        *("--lr=0", "--lr=-1", "--lr=nan", "--lr=inf", "--weight-decay=-0.1", "--weight-decay=nan"),
        *("--ema=1", "--ema=-0.1", "--ema=nan", "--patience=-1", "--patience=nan"),
        *("--device=gpu", "--amp=fp8", "--seed=one", "--seed=-1", f"--seed={2**64}"),
        *("--batch=8", "--max=3", "--dry", "--unknown=1", "stray"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(capsys, line):
    assert line.partition("=")[0] in refused(capsys, line)


@pytest.mark.parametrize("line", ["--seed=0", "--lr=1e-9", "--patience=0", "--workers=auto"])
def test_what_makes_sense_is_not(line):
    parse(line)


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["--batch-size", "8", "--lr", "3e-05", "--weight-decay", "0", "--no-channels-last"],
        ["--freeze", "stem.*", "head.*", "--compile", "--workers", "2", "--seed", "0"],
        ["--data", "a b.txt", 'quote".txt', "back\\slash", "new\nline", "tab\t", "\x7f"],
        ["--data", "\N{GRINNING FACE}.txt", "\N{LATIN SMALL LETTER E WITH ACUTE}", "="],
        ["--data", "-1", "-.5", "-", "-a b"],  # what argparse takes for no flag
        ["--init-from", "runs/a/checkpoints/best.pt", "--ema", "0.999", "--max-steps", "100"],
    ],
)
def test_config_read_back_gives_the_same_arguments(tmp_path, line):
    args = parse(*line)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(resolved(args)), encoding="utf-8")
    again = parse("--config", str(path))
    assert vars(again) | {"config": None} == vars(args)


def test_config_holds_every_default_and_no_place():
    args = parse("--run-dir", "here", "--resume")
    config = resolved(args)
    assert config["batch_size"] == 64 and config["device"] == "auto" and config["seed"] == 1
    assert not config.keys() & {"run_dir", "resume", "config", "defaults"}


def test_a_flag_beats_the_config(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("batch-size = 8\nlr = 0.5\nchannels-last = false\nfreeze = ['stem.*']\n")
    args = parse("--lr", "0.25", "--config", str(path), "--channels-last")
    assert (args.batch_size, args.lr, args.channels_last, args.freeze) == (
        8,
        0.25,
        True,
        ["stem.*"],
    )


def test_underscores_are_as_good_as_dashes(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("batch_size = 8\n")
    assert parse("--config", str(path)).batch_size == 8


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("batchsize = 8", "--batchsize"),
        ("batch-size = 0", "--batch-size"),
        ("lr = nan", "--lr"),
        ("lr = true", "--lr"),
        ("batch-size = 'x", "run.toml"),
        ("[optimizer]\nlr = 1", "--optimizer"),
        ("\udcff", "run.toml"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_by_name(tmp_path, capsys, text, part):
    path = tmp_path / "run.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    error = refused(capsys, "--config", str(path))
    assert part in error and error.count("\n") == 1


def test_a_list_in_a_config_is_never_read_as_flags(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text("freeze = ['stem.*', '--lr=5']\n")
    error = refused(capsys, "--config", str(path))
    assert "--freeze" in error and "--lr=5" in error and error.count("\n") == 1


def test_a_missing_config_is_refused(capsys):
    assert "nowhere.toml" in refused(capsys, "--config", "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("90", 90), ("0.5", 0.5), ("45m", 2700), ("3h30m", 12600), ("2h", 7200)],
        *[("1.5h", 5400), ("1e-05", 1e-05), ("1e+30", 1e30)],
    ],
)
def test_a_time_limit_is_seconds_or_has_units(text, seconds):
    assert parse("--time-limit", text).time_limit == seconds


def test_a_resumed_run_may_change_what_is_marked_and_no_other_flag():
    parse()
    kept = {"batch_size", "lr", "seed", "init_from", "freeze", "overfit", "eval_batches", "data"}
    free = {"device", "amp", "accumulate", "workers", "time_limit", "log_every", "keep", "profile"}
    assert free <= FREE and not kept & FREE


def test_a_script_marks_a_flag_of_its_own():
    parser = options.new_parser("Train.")
    options.may_change(parser.add_argument)("--my-cache", type=Path, help="where")
    assert "my_cache" in FREE and parser.parse_args(["--my-cache", "a"]).my_cache == Path("a")


def test_a_dry_run_is_one_step_into_no_ones_folder():
    args = parse("--dry-run", "--max-steps", "9", "--run-dir", "here", "--resume")
    assert (args.max_steps, args.run_dir, args.resume) == (1, None, None)


def test_resume_alone_means_the_newest_run():
    assert parse("--resume").resume == parse("--resume", "auto").resume == "auto"
    assert parse("--resume", "a.pt").resume == "a.pt"
    assert parse().resume is None


def test_every_flag_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--batch-size", "--accumulate", "--resume", "--freeze", "--profile", "--amp"):
        assert flag in text
    assert "64" in text and "None" not in text


def test_config_holds_plain_values_and_no_places():
    args = Namespace(
        lr=0.1, data=[Path("a")], init_from=None, freeze=[], resume="auto", run_dir=Path("b")
    )
    vars(args).update(defaults={"lr": 0.1})
    assert resolved(args) == {"lr": 0.1, "data": ["a"]}


@pytest.mark.parametrize(
    "value", [1, 0.5, 3e-05, True, "a b", 'quo"te', "back\\slash", "new\nline", "\x7f", ["a", "b"]]
)
def test_toml_read_back_is_the_same(value):
    assert tomllib.loads(to_toml({"some_name": value})) == {"some-name": value}


def test_the_default_batch_size_gives_way_to_a_small_set_and_one_that_was_asked_for_does_not(
    capsys,
):
    assert options.fit_batch_size(parse(), 64) == 64
    assert options.fit_batch_size(parse(), 7) == 7
    assert "--batch-size 7" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        options.fit_batch_size(parse("--batch-size=8"), 7)
    assert stopped.value.code == USAGE
    assert "--batch-size 8: the training set has 7 samples" in capsys.readouterr().err
