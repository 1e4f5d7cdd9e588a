import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import cli, demo
from tinygrad_edu.data import digits, load_digits

PARAMETERS = ["W1", "b1", "W2", "b2"]


@dataclass
class Tour:
    """One run of `tinygrad-edu demo`: what it answered, printed and wrote."""

    status: int
    text: str
    out: Path


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """The demo as `make demo` runs it, all 40 epochs of it, in a process of its own."""
    out = tmp_path_factory.mktemp("demo") / "new" / "folder"
    answer = run_cli("demo", "--out", str(out))
    assert not answer.stderr
    return Tour(answer.returncode, answer.stdout, out)


def run_cli(*arguments, **environment):
    """Run the command in a process of its own, whatever the caller's terminal asks for."""
    inherited = {k: v for k, v in os.environ.items() if k not in {"FORCE_COLOR", "NO_COLOR"}}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tinygrad_edu.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(tg.__file__).parents[1],
        env=inherited | environment,
        check=False,
    )


@pytest.fixture
def without(monkeypatch):
    """Make the import of packages fail, as where they are not installed."""

    def hide(*packages):
        for name in list(sys.modules):
            if name.split(".")[0] in packages:
                monkeypatch.delitem(sys.modules, name)
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"tinygrad-edu {tg.__version__}\n"


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
        (["demo", "--epochs", "many"], "--epochs: expected a whole number of at least 1, got 'man"),
        (["demo", "--seed", "-1"], "--seed: expected a whole number of at least 0, got '-1'"),
        (["demo", "--seed", "1.5"], "--seed: expected a whole number of at least 0, got '1.5'"),
        (["demo", "--out", __file__], "--out: expected a folder, but"),
        (["dmeo"], "invalid choice: 'dmeo'"),
    ],
)
def test_wrong_use_is_explained(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_folder_that_cannot_be_made_is_explained(capsys, tmp_path):
    (tmp_path / "file").touch()
    status = cli.main(["demo", "--out", str(tmp_path / "file" / "pictures")])
    answer = capsys.readouterr()
    assert status == 2
    assert answer.err.startswith(f"tinygrad-edu: error: {tmp_path / 'file'}")
    assert answer.err.count("\n") == 1
    assert not answer.out  # told before the work, not after it


def test_interrupt_ends_without_a_traceback(capsys, monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupt)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\ntinygrad-edu: stopped\n"


@pytest.mark.parametrize("rich", ["with rich", "without rich"])
def test_closed_pipe_ends_without_a_traceback(tmp_path, rich):
    hide = "sys.modules['rich'] = None;" if rich == "without rich" else ""
    program = f"import sys; {hide} from tinygrad_edu import cli; sys.exit(cli.main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", program, "demo", "--epochs=1", f"--out={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(tg.__file__).parents[1],
    ) as demo_process:
        demo_process.stdout.close()
        assert demo_process.stderr.read() == ""
        assert demo_process.wait() == 1


def test_damaged_data_is_explained(capsys, monkeypatch, tmp_path):
    (tmp_path / "digits.csv.gz").write_bytes(b"damaged")
    monkeypatch.setattr(digits, "_FILE", tmp_path / "digits.csv.gz")
    assert cli.main(["demo", "--out", str(tmp_path)]) == 2
    answer = capsys.readouterr()
    assert answer.err.startswith("tinygrad-edu: error: load_digits: ")
    assert answer.err.count("\n") == 1
    assert not answer.out


def test_demo_succeeds(tour):
    assert tour.status == 0


def test_demo_reads_96_percent_of_the_test_digits(tour):
    accuracy = re.search(r"([\d.]+)% test accuracy", tour.text)
    assert float(accuracy[1]) >= 96


def test_demo_compares_every_parameter_three_ways(tour):
    table = re.findall(r"^ +([Wb][12]) +[\d x]+  +([\d.]+) +(\S+) +(\S+)$", tour.text, re.M)
    assert [row[0] for row in table] == PARAMETERS
    for _, size, from_hand, from_central in table:
        assert 0 < float(size) < 10
        assert float(from_hand) <= 1e-12
        assert 0 < float(from_central) <= 1e-6
    assert "All three agree" in tour.text


def test_demo_counts_its_parameters(tour):
    assert tour.text.count("4,810 parameters") == 2


def test_demo_writes_its_pictures_and_nothing_else(tour):
    assert sorted(path.name for path in tour.out.iterdir()) == ["curves.png", "graph.svg"]
    assert (tour.out / "curves.png").read_bytes().startswith(b"\x89PNG")
    svg = (tour.out / "graph.svg").read_text(encoding="utf-8")
    assert "<svg" in svg
    for name in ["X", *PARAMETERS, "logits", "loss"]:
        assert re.search(rf">[^<]*\b{name}\b", svg), name
    for name in ["graph.svg", "curves.png"]:
        assert str(tour.out / name) in tour.text


def test_demo_fits_a_terminal_of_80_columns_but_for_paths(tour):
    text = tour.text.replace(str(tour.out), "demo-output").replace(demo.__file__, "demo.py")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)


def test_demo_without_a_terminal_prints_no_control_characters(tour):
    assert "\x1b" not in tour.text
    assert "\r" not in tour.text


def test_demo_without_a_terminal_prints_a_dozen_lines_of_progress(tour):
    epochs = re.findall(r"^ +(\d+)  \d\.\d{4} +[\d.]+% +[\d.]+%$", tour.text, re.M)
    assert list(map(int, epochs)) == [1, *range(4, 41, 4)]
    assert "40/40" not in tour.text


def test_demo_prints_ascii_so_that_every_console_can_show_it(tmp_path):
    answer = run_cli("demo", "--epochs=1", "--out", str(tmp_path), PYTHONIOENCODING="ascii")
    assert answer.returncode == 0
    assert answer.stdout.isascii()


def test_demo_shows_a_bar_where_there_is_a_terminal(tmp_path):
    answer = run_cli("demo", "--epochs=2", "--out", str(tmp_path), FORCE_COLOR="1", TERM="xterm")
    assert answer.returncode == 0
    assert re.search(r"epoch  2/2 .*test accuracy [\d.]+%", answer.stdout)
    assert "\x1b[" in answer.stdout


def test_demo_does_without_rich_and_matplotlib_and_says_so(capsys, tmp_path, without):
    without("rich", "matplotlib")
    assert cli.main(["demo", "--epochs", "2", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "pip install 'tinygrad-edu[progress]'" in text
    assert "pip install 'tinygrad-edu[plot]'" in text
    assert [path.name for path in tmp_path.iterdir()] == ["graph.svg"]


def test_same_seed_gives_the_same_training():
    assert final_weights(seed=3) == final_weights(seed=3)
    assert final_weights(seed=3) != final_weights(seed=4)


def final_weights(seed):
    rng = np.random.default_rng(seed)
    parameters = demo.as_tensors(demo.initial_parameters(rng), np.float32)
    list(demo.train(parameters, load_digits(), 1, rng))
    return [parameter.data.tobytes() for parameter in parameters.values()]


def test_wrong_gradient_fails_the_demo(capsys, monkeypatch, tmp_path):
    by_engine = demo.gradients_by_engine

    def wrong(*arguments):
        gradients = by_engine(*arguments)
        gradients["b2"] = gradients["b2"] + 1e-5
        return gradients

    monkeypatch.setattr(demo, "gradients_by_engine", wrong)
    assert cli.main(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert re.findall(r"^ +(\w+).*WRONG$", text, re.M) == ["b2"]
    assert "All three agree" not in text


def test_exam_without_a_mistake_shows_none(capsys, monkeypatch):
    data = load_digits()
    monkeypatch.setattr(demo, "predict", lambda _, images: data.test_labels)
    demo._show_exam(demo._Screen(), data, {})
    assert "100.0% test accuracy" in (text := capsys.readouterr().out)
    assert "Would you" not in text


def test_hand_derivation_agrees_with_central_differences():
    # Without the engine: the demo's two yardsticks must agree with each other, on any start.
    data = load_digits()
    for seed in range(3):
        arrays = demo.initial_parameters(np.random.default_rng(seed))
        X, labels = demo._away_from_kinks(data, arrays, count=4)
        hand = demo.gradients_by_hand(X, labels, arrays)
        central = demo.gradients_by_central_differences(X, labels, arrays)
        for name in PARAMETERS:
            np.testing.assert_allclose(hand[name], central[name], rtol=0, atol=1e-9)


def test_central_differences_keep_away_from_kinks():
    data = load_digits()
    arrays = demo.initial_parameters(np.random.default_rng(0))
    # One hidden unit compares a pixel with the first digit's; all others are far from 0.
    pixel = data.train_images[:, 20]
    arrays["W1"][:], arrays["b1"][:] = 0, 1
    arrays["W1"][20, 0], arrays["b1"][0] = 1, demo.KINK / 2 - pixel[0]
    expected = np.flatnonzero(pixel != pixel[0])[:4]
    X, labels = demo._away_from_kinks(data, arrays, count=4)
    assert np.array_equal(X, data.train_images[expected])
    assert np.array_equal(labels, data.train_labels[expected])


def test_failed_write_leaves_the_old_picture_and_no_rest(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    picture = tmp_path / "graph.svg"
    picture.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        demo._write(picture, fail)
    assert picture.read_text() == "old"
    assert list(tmp_path.iterdir()) == [picture]


def test_commands_that_the_demo_suggests_exist(tour, tmp_path):
    suggested = re.findall(r"tinygrad-edu (demo .*)", tour.text)
    assert suggested
    for command in suggested:
        assert cli.main([*command.split(), "--epochs", "1", "--out", str(tmp_path)]) == 0


def test_code_that_the_demo_suggests_prints_what_it_says(tour, capsys):
    code = re.search(r"^    import numpy.*?^    print[^\n]*", tour.text, re.M | re.S)[0]
    exec(textwrap.dedent(code), {})
    assert capsys.readouterr().out.strip() == code.partition(": ")[2]


@pytest.mark.parametrize("command", [["--help"], ["demo", "--help"], ["--version"]])
def test_help_needs_neither_the_demo_nor_extras(command):
    program = (
        "import sys, tinygrad_edu.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "names = {name.split('.')[0] for name in sys.modules} | set(sys.modules)\n"
        "assert not names & {'rich', 'matplotlib', 'viz', 'tinygrad_edu.demo'}\n"
    )
    subprocess.run([sys.executable, "-c", program, *command], check=True, capture_output=True)
