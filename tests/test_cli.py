import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import cli, commands, coverage, demo
from tinygrad_edu.data import digits, load_digits
from tinygrad_edu.data.files import write_aside
from tinygrad_edu.op import REGISTRY

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
        (["check"], "the following arguments are required: MODULE[:OP]"),
        (["check", "a.py", "--examples", "0"], "--examples: expected a whole number of at least 1"),
        (["trace"], "the following arguments are required: FILE:FUNCTION"),
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
    pytest.importorskip("matplotlib")
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
    pytest.importorskip("rich")
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
        write_aside(picture, fail)
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


COMMANDS = ("demo", "train", "ops", "check", "trace", "draw", "explain")


@pytest.mark.parametrize(
    "command", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
)
def test_help_needs_neither_the_demo_nor_extras(command):
    program = (
        "import sys, tinygrad_edu.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "names = {name.split('.')[0] for name in sys.modules} | set(sys.modules)\n"
        "assert not names & {'rich', 'matplotlib', 'viz', 'hypothesis', 'tinygrad_edu.demo'}\n"
    )
    subprocess.run([sys.executable, "-c", program, *command], check=True, capture_output=True)


# -- ops ---------------------------------------------------------------------------------------


def answer(capsys, *arguments):
    """Exit status and what was printed, errors included."""
    status = cli.main(list(arguments))
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.mark.parametrize("rich", ["with rich", "without rich"])
def test_ops_counts_what_has_a_gradient(capsys, without, rich):
    if rich == "without rich":
        without("rich")
    else:
        pytest.importorskip("rich")
    status, text = answer(capsys, "ops")
    assert status == 0
    covered, essential = coverage.figures()
    assert re.search(rf"^ *All +{covered} of 385 +{essential} of 162 *$", text, re.M)
    for family in coverage.UNION:
        assert re.search(rf"^ *{re.escape(family)} +\d+ of \d+ +(\d+ of \d+|-) *$", text, re.M)
    assert max(map(len, text.splitlines())) <= 80


def test_ops_lists_what_is_missing(capsys):
    status, text = answer(capsys, "ops", "--missing")
    assert status == 0
    listed = {word.rstrip("*,") for word in text.split()}
    for one in coverage.union():
        assert (one.name in listed) or one.functions
    assert "einops_rearrange" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("np.tanh", ["np.tanh(x)", "  to x        g * (1 - out * out)"]),
        ("tanh", ["np.tanh(x)"]),
        ("numpy.matmul", ["  also        x @ y", "  to y        x.T @ g"]),
        ("np.sqrt", ["  where       x > 0; inf at x = 0"]),
        ("linalg.inv", ["np.linalg.inv(a)"]),
        ("np.max(x, axis=0)", ["  where       1/2 each to two equal elements"]),
        ("relu", ["  where       0 at x = 0"]),
        ("np.prod", ["  to x        no single short formula"]),
        ("mae_loss", ["mae_loss is reached as tg.l1_loss:"]),
        ("np.ptp", ["              made of other ops: np.max(a) - np.min(a)"]),
        ("np.argmax", ["np.argmax: works on Tensors; its result needs no gradient"]),
    ],
)
def test_ops_tells_about_a_function(capsys, name, lines):
    status, text = answer(capsys, "ops", name)
    assert status == 0
    assert set(lines) <= set(text.splitlines())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", ["np.fft.fft", "numpy.put", "put", "lstm"])
def test_ops_says_that_a_function_is_not_supported(capsys, name):
    status, text = answer(capsys, "ops", name)
    assert status == 1
    assert "has no gradient" in text


def test_ops_suggests_a_name(capsys):
    status, text = answer(capsys, "ops", "np.tahn")
    assert status == 2
    assert text.count("\n") == 1
    assert "no function 'np.tahn'; did you mean np.tan" in text


def test_ops_prints_letters_that_every_console_has():
    for name in ["np.sqrt", "np.max", "tg.triplet_margin_loss"]:
        answered = run_cli("ops", name, PYTHONIOENCODING="ascii")
        assert answered.returncode == 0, answered.stderr
        assert answered.stdout.isascii()


# -- check and trace -----------------------------------------------------------------------------

GOOD = """
import numpy as np
import tinygrad_edu as tg

@tg.op(tg.wrt("x", lambda g, out, x: g * 3 * x**2))
def cube(x):
    return x * x * x
"""
WRONG = """
@tg.op(tg.wrt("x", lambda g, out, x: g * 4 * x))
def twice_square(x):
    return x * x
"""
OPTION = """
@tg.op(tg.wrt("x", lambda g, out, x, *, power: g * power * x ** (power - 1), tg.Domain(low=0.0)))
def raised(x, *, power):
    return x**power
"""
MODEL = """
W = np.array([[1.0, 2.0]])
SCALE = np.array([3.0, np.inf])

def loss(x, W, b=np.zeros(2), rate=0.5):
    return np.sum(np.tanh(x @ W + b)) * rate

def scaled(x):
    return np.sum(np.minimum(cube(x), SCALE))

def vector(x):
    return x * 2

def label_loss(logits, labels):
    return tg.cross_entropy(logits, labels)

def half(x):
    return np.sum(x.astype(np.float32) * np.array([0.5], np.float32))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module into the current folder; forget afterwards what importing it did."""
    registry, modules = dict(REGISTRY), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    yield write
    REGISTRY.clear()
    REGISTRY.update(registry)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["my_ops.py", "my_ops", "my_ops:cube", "my_ops.py:cube"])
def test_check_finds_the_ops_of_a_module(capsys, write, target):
    write("my_ops.py", GOOD)
    status, text = answer(capsys, "check", target, "--examples", "10")
    assert status == 0
    assert text == "ok      cube: no counter-example in 10 cases\n"


def test_check_finds_a_module_in_a_package_and_a_file_in_a_folder(capsys, write):
    write("package/__init__.py", "")
    write("package/my_ops.py", GOOD)
    assert cli.main(["check", "package.my_ops", "--examples", "2"]) == 0
    write("folder/helper.py", "POWER = 3")
    write("folder/others.py", f"from helper import POWER\n{GOOD}")
    assert cli.main(["check", "folder/others.py", "--examples", "2"]) == 0
    assert capsys.readouterr().out.count("ok ") == 2


def test_check_shows_what_is_wrong(capsys, write):
    write("my_ops.py", GOOD + WRONG + OPTION)
    status, text = answer(capsys, "check", "my_ops.py", "--examples", "20")
    assert status == 1
    assert "ok      cube" in text
    assert "FAILED  twice_square: " in text
    assert "likely cause: factor 2" in text
    assert "?       raised needs samples" in text


def test_check_without_hypothesis_says_what_to_install(capsys, write, without, monkeypatch):
    without("hypothesis")
    for name in ("testing", "strategies"):
        monkeypatch.delitem(sys.modules, f"tinygrad_edu.{name}", raising=False)
    write("my_ops.py", GOOD)
    status, text = answer(capsys, "check", "my_ops.py")
    assert status == 2
    assert text.count("\n") == 1
    assert "pip install 'tinygrad-edu[check]'" in text


def test_ops_without_scipy_says_what_to_install():
    program = (
        "import sys; sys.modules['scipy'] = None\n"
        "from tinygrad_edu import cli; cli.main(['ops']); cli.main(['ops', 'erfcx'])"
    )
    answered = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answered.stdout.count("'tinygrad-edu[special]'") == 2


@pytest.mark.parametrize("key", ["raised", "'raised'"])
def test_check_takes_samples_from_the_module(capsys, write, key):
    write("my_ops.py", GOOD + OPTION)
    assert answer(capsys, "check", "my_ops.py:raised")[0] == 2
    REGISTRY.pop(sys.modules["my_ops"].raised)
    REGISTRY.pop(sys.modules["my_ops"].cube)
    samples = f"SAMPLES = {{{key}: [((np.array([0.5, 2.0]),), {{'power': 2.5}})]}}"
    write("my_ops.py", GOOD + OPTION + samples)
    status, text = answer(capsys, "check", "my_ops.py:raised")
    assert (status, text[:10]) == (0, "ok      ra")


def test_check_takes_functions_that_others_wrote(capsys, write):
    text = "import math\nimport numpy as np\nimport tinygrad_edu as tg\n"
    text += "f = np.frompyfunc(math.floor, 1, 1)\ntg.register(f, name='f')\n"
    text += "tg.register(np.nextafter, tg.wrt('x', lambda g, out, x, y: g))"
    write("my_ops.py", text)
    status, text = answer(capsys, "check", "my_ops.py")
    assert "-       f: has no rules" in text
    assert "?       nextafter needs samples" in text
    assert status == 2


def test_check_takes_an_op_that_the_module_imports(capsys, write):
    write("my_ops.py", "from tinygrad_edu import relu")
    assert answer(capsys, "check", "my_ops.py:relu", "--examples", "2")[0] == 0
    assert answer(capsys, "check", "my_ops.py")[0] == 2  # it makes none itself


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WRONG.replace("g * 4 * x", "g * x.nothing"), "'x' of twice_square"),
        (WRONG.replace("g * 4 * x", "g[None]"), "must return shape"),
        (OPTION + "SAMPLES = {raised: [((np.ones(2),), {'pwer': 2})]}", "pwer"),
        (OPTION + "SAMPLES = {raised: []}", "raised needs samples"),
        (OPTION + "SAMPLES = {raised: [((np.array(['a']),), {'power': 2})]}", "raised"),
    ],
)
def test_check_reports_an_op_that_does_not_work_at_all(capsys, write, text, message):
    write("my_ops.py", GOOD + text)
    status, printed = answer(capsys, "check", "my_ops.py", "--examples", "2")
    assert status == 1
    assert "FAILED" in printed
    assert message in printed
    assert "ok      cube" in printed


@pytest.mark.parametrize(
    ("target", "text", "message"),
    [
        ("nothing.py", "", "there is no file nothing.py"),
        ("nothing", "", "there is no module 'nothing'"),
        ("nothing.at.all", "", "there is no module 'nothing.at.all'"),
        ("my_ops.py", "x = 1", "my_ops registers no ops; an op is made by @tg.op"),
        ("my_ops.py:square", GOOD, "my_ops registers no op 'square'"),
        ("my_ops.py", "import nowhere", "No module named 'nowhere'"),
        ("my_ops", "import nowhere", "No module named 'nowhere'"),
        ("my_ops.py", "def f():\n    1 / 0\nf()", "line 2, in f"),
        ("my_ops.py", "def f(:", "SyntaxError"),
        ("my_ops.py", "raise SystemExit(3)", "SystemExit: 3"),
        ("my_ops.py", GOOD.replace("(g, out", "(out, g").replace("g, out, x:", "x:"), "RuleError"),
        ("my_ops.py", GOOD + "SAMPLES = []", "SAMPLES in my_ops must be a dict"),
    ],
)
def test_check_explains_wrong_use(capsys, write, target, text, message):
    write("my_ops.py", text)
    status, printed = answer(capsys, "check", target)
    assert status == 2
    assert printed.startswith("tinygrad-edu: error: ")
    assert message in printed
    assert "importlib" not in printed
    assert "commands.py" not in printed


def run_program(text, *inputs):
    """Run what `tinygrad-edu trace` printed, as a program of its own."""
    scope = {}
    exec(text, scope)
    (function,) = re.findall(r"^def (\w+)", text, re.M)
    return scope[function](*inputs)


def test_trace_prints_a_program_that_runs(capsys, write):
    write("model.py", GOOD + MODEL)
    status, text = answer(capsys, "trace", "model.py:loss", "--shape", "x=3,1")
    assert status == 0
    x, W, b = np.ones((3, 1)), np.array([[0.5, 1.0]]), np.zeros(2)
    value, (d_x, d_W, d_b) = run_program(text, x, W, b)
    assert value == pytest.approx(np.tanh(x @ W + b).sum() / 2)
    slope = 0.5 * (1 - np.tanh(x @ W) ** 2)
    np.testing.assert_allclose(d_x, slope @ W.T)
    np.testing.assert_allclose(d_W, x.T @ slope)
    np.testing.assert_allclose(d_b, slope.sum(axis=0))


@pytest.mark.parametrize("shape", ["x=2", "x=(2,)", "x=(2)", "x= 2"])
def test_trace_defines_what_the_program_needs(capsys, write, shape):
    write("model.py", GOOD + MODEL)
    status, text = answer(capsys, "trace", "model:scaled", "--shape", shape)
    assert status == 0
    assert "from model import cube\n" in text
    value, (gradient,) = run_program(text, np.array([1.0, 2.0]))
    assert value == 9
    np.testing.assert_array_equal(gradient, [3, 12])


def test_trace_takes_shapes_before_defaults_before_the_file_s_arrays(capsys, write):
    write("model.py", GOOD + MODEL)
    shapes = ["--shape", "x=4,5", "W=5x6", "--shape", "b=6"]
    _, text = answer(capsys, "trace", "model.py:loss", *shapes)
    assert re.findall(r"# input (.*)", text) == [
        "x: float64 (4, 5)",
        "W: float64 (5, 6)",
        "b: float64 (6,)",
    ]
    _, text = answer(capsys, "trace", "model.py:loss", "--shape", "x=4,1")
    assert re.findall(r"# input (.*)", text)[1:] == ["W: float64 (1, 2)", "b: float64 (2,)"]


def test_trace_takes_integers_numbers_and_other_dtypes(capsys, write):
    write("model.py", GOOD + MODEL)
    shapes = ["--shape", "logits=2,3:float32", "labels=2:int"]
    status, text = answer(capsys, "trace", "model.py:label_loss", *shapes)
    assert status == 0
    assert "# input logits: float32 (2, 3)" in text
    assert "# input labels: int64 (2,)" in text or "# input labels: int32 (2,)" in text
    _, text = answer(capsys, "trace", "model.py:half", "--shape", "x=()")
    value, (gradient,) = run_program(text, np.array(3.0))
    assert (value, gradient) == (1.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.py"], "name a function of model.py: model.py:loss, model.py:scaled, model.py:vec"),
        (["model.py:nothing"], "name a function of model.py: model.py:loss"),
        (["model.py:W"], "name a function of model.py"),
        (["model.py:loss"], "of which shape is 'x' of loss? Say, for instance, --shape x=3,4 ("),
        (["model.py:loss", "--shape", "y=3"], "loss has no argument 'y', it has x, W, b, rate"),
        (["model.py:loss", "--shape", "x"], "expected NAME=SHAPE as in x=3,4 or labels=3:int, got"),
        (["model.py:loss", "--shape", "x=3,a"], "expected NAME=SHAPE"),
        (["model.py:loss", "--shape", "x=3:nothing"], "expected NAME=SHAPE"),
        (["model.py:loss", "--shape", "x=3,4"], "matmul"),
        (["model.py:vector", "--shape", "x=3"], "must return one element, got shape (3,)"),
    ],
)
def test_trace_explains_wrong_use(capsys, write, arguments, message):
    write("model.py", GOOD + MODEL)
    status, text = answer(capsys, "trace", *arguments)
    assert status == 2
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("def f(x):\n    return np.summ(x)", "line 4, in f"),
        ("def f(x, *more, scale):\n    return x", "must be given 'scale' by keyword"),
    ],
)
def test_trace_shows_where_a_function_fails(capsys, write, function, message):
    write("model.py", f"import numpy as np\n\n{function}")
    status, text = answer(capsys, "trace", "model.py:f", "--shape", "x=2")
    assert status == 2
    assert message in text
    assert "commands.py" not in text


def test_trace_refuses_to_print_a_thousand_numbers(capsys, write):
    write("model.py", "import numpy as np\nC = np.ones(2000)\ndef f(x): return np.sum(x * C)")
    status, text = answer(capsys, "trace", "model.py:f", "--shape", "x=2000")
    assert status == 2
    assert "an array of shape (2000,) that is no argument" in text


def test_trace_refuses_a_function_that_cannot_be_imported(capsys, write):
    text = GOOD + "inner = cube\ndel cube\ndef f(x): return np.sum(inner(x))"
    write("model.py", text)
    status, text = answer(capsys, "trace", "model.py:f", "--shape", "x=2")
    assert status == 2
    assert "the program calls cube, which model does not define" in text


def test_check_and_trace_run_as_commands(write, tmp_path):
    write("my_ops.py", GOOD + WRONG + MODEL)
    checked = run_cli("check", str(tmp_path / "my_ops.py"), "--examples", "5")
    assert checked.returncode == 1
    assert "FAILED  twice_square" in checked.stdout
    traced = run_cli("trace", f"{tmp_path / 'my_ops.py'}:loss", "--shape", "x=2,1")
    assert traced.returncode == 0
    compile(traced.stdout, "program", "exec")


# -- draw and explain ------------------------------------------------------------------------------

PICTURE = """
import numpy as np
import tinygrad_edu as tg

W = tg.Tensor(np.eye(2), requires_grad=True)
total = np.sum(np.tanh(W))
pair = [total, W]
number = 3

def loss(x, y=2.0):
    return np.mean((x @ W) ** 2) * y

def product(x, w):
    return np.sum(x @ w)

def nothing():
    return 1

def broken(x):
    return [][1]
"""


def test_draw_draws_a_tensor_of_a_file_in_its_names(capsys, write, tmp_path):
    write("model.py", PICTURE)
    out = tmp_path / "total.svg"
    status, text = answer(capsys, "draw", "model.py:total", "-o", str(out), "--engine", "builtin")
    assert (status, text) == (0, f"{out}\n")
    drawn = out.read_text("utf-8")
    assert ">total = sum</text>" in drawn and ">W</text>" in drawn
    status, text = answer(capsys, "draw", "model.py:pair", "--text")
    assert status == 0 and text.splitlines()[2].split()[0] == "0*"


def test_draw_calls_a_function_with_tensors_of_its_names(capsys, write, tmp_path):
    write("model.py", PICTURE)
    status, text = answer(capsys, "draw", "model.py:loss", "--shape", "x=3,2", "--text")
    assert status == 0
    assert re.search(r"parameter +x +\(3, 2\)", text) and re.search(r"matmul +x @ W", text)
    out = tmp_path / "loss.dot"
    options = ["--level", "compact", "--direction", "TB", "--collapse", "1", "-o", str(out)]
    assert answer(capsys, "draw", "model.py:loss", "--shape", "x=3,2", *options)[0] == 0
    assert "rankdir=TB" in out.read_text() and "float64" not in out.read_text().split("tooltip")[0]


def test_explain_writes_a_page(capsys, write, tmp_path, monkeypatch):
    write("model.py", PICTURE)
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    out = tmp_path / "page.html"
    shape = ["--shape", "x=3,2"]
    status, text = answer(capsys, "explain", "model.py:loss", *shape, "-o", str(out), "--open")
    assert (status, text) == (0, f"{out}\n")
    assert opened == [out.resolve().as_uri()]
    assert "x @ W" in out.read_text("utf-8")
    options = ["--title", "Two steps", "--learning-rate", "0.5"]
    assert answer(capsys, "explain", "model.py:total", "-o", str(out), *options)[0] == 0
    assert "<title>Two steps</title>" in out.read_text("utf-8")
    assert "W −= 0.5 × ∂W" in out.read_text("utf-8")


def test_draw_knows_its_data_and_what_is_asked_for(capsys, write):
    write("model.py", PICTURE)
    shape = ["--shape", "x=3,2", "--text"]
    data = ["--shape", "x=3,2", "w=2,1", "--wrt", "w", "--text"]
    _, text = answer(capsys, "draw", "model.py:product", *data)
    assert re.search(r"input +x +\(3, 2\)", text) and re.search(r"parameter +w ", text)
    assert re.search(r"sum +product ", text), "the result has the function's name"
    _, text = answer(capsys, "draw", "model.py:loss", *shape, "--around", "x", "--depth", "1")
    assert "matmul" in text and "power" not in text
    _, text = answer(capsys, "draw", "model.py:loss", *shape, "--highlight", "gradients")
    assert "norm of what flows back" in text
    _, text = answer(capsys, "draw", "model.py:loss", *shape, "--constants", "fold")
    assert "matmul" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "model.py:loss", "--shape", "x=3,2", "--wrt", "z"], "--wrt z: loss has no such"),
        (["draw", "model.py:total", "--around", "loss"], "there is no Tensor 'loss' in the file"),
        (["draw", "model.py:total", "--highlight", "U"], "there are W, total"),
        (["draw", "model.py:total", "--max-nodes", "1"], "at most 1 boxes, got 3"),
        (["draw", "model.py:nope"], "draw: model.py has no 'nope'; name a Tensor"),
        (["explain", "model.py:total", "--learning-rate", "-1"], "learning_rate"),
        (["draw", "model.py"], "draw: name a Tensor or a function of model.py: model.py:W, model"),
        (["draw", "model.py:number"], "name a Tensor or a function of model.py"),
        (["draw", "model.py:loss"], "draw: of which shape is 'x' of loss?"),
        (["draw", "model.py:nothing"], "draw: expected nothing to return a Tensor, got int"),
        (["draw", "model.py:total", "-o", "g.bmp"], "expected a path that ends in .svg"),
        (["draw", "model.py:total", "--collapse", "all"], "draw: expected collapse to be 'auto'"),
        (["draw", "missing.py:total"], "there is no file missing.py"),
        (["explain", "model.py:W"], "explain: expected a loss of one element, got shape (2, 2)"),
        (["explain", "model.py:total", "-o", "page.pdf"], "page.pdf"),
        (["explain", "model.py:broken", "--shape", "x=2"], "explain: broken fails:"),
    ],
)
def test_draw_and_explain_say_what_is_wrong(capsys, write, arguments, message):
    write("model.py", PICTURE)
    status, text = answer(capsys, *arguments)
    assert status == 2 and message in text
    assert "Traceback" not in text or "broken" in text


def test_open_says_where_there_is_no_browser(capsys, write, tmp_path, monkeypatch):
    write("model.py", PICTURE)
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    out = tmp_path / "g.dot"
    status, text = answer(capsys, "draw", "model.py:total", "-o", str(out), "--open")
    assert status == 2 and f"no browser was found; open {out} yourself" in text
    assert out.exists()


# -- train -----------------------------------------------------------------------------------------


def test_train_lists_the_examples(capsys):
    status, text = answer(capsys, "train")
    assert status == 0
    listed = [line.split()[0] for line in text.splitlines() if re.match(r"\d\d_", line)]
    examples = Path(tg.__file__).parents[1] / "examples"
    assert listed == sorted(file.stem for file in examples.glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize(
    "name", ["01", "1", "one_expression", "01_ONE_expression", "examples/01_one_expression.py"]
)
def test_train_runs_an_example(name, tmp_path):
    done = run_cli("train", name, "--out", str(tmp_path))
    assert done.returncode == 0 and "df/dx" in done.stdout


def test_train_suggests_what_may_have_been_meant(capsys):
    status, text = answer(capsys, "train", "digit")
    assert status == 2 and "there is no example 'digit'; did you mean digits" in text
    assert "tinygrad-edu train lists them" in answer(capsys, "train", "zzz")[1]


@pytest.fixture
def examples(monkeypatch, tmp_path):
    """A folder of examples that a test writes, in place of ours."""
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "run_all.py").touch()
    monkeypatch.setattr(commands, "_examples", lambda: folder)
    monkeypatch.setattr(sys, "argv", [])

    def write(source):
        (folder / "01_first.py").write_text(textwrap.dedent(source), encoding="utf-8")

    return write


def test_train_outside_of_the_source_says_where_it_looked(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "__file__", str(tmp_path / "site-packages" / "x" / "commands.py"))
    monkeypatch.chdir(tmp_path)
    for arguments in (["train"], ["train", "09"]):
        status, text = answer(capsys, *arguments)
        assert status == 2
        installed, here = tmp_path / "site-packages" / "examples", tmp_path / "examples"
        assert f"there are no examples in {installed} or {here}: pip does not install" in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import matplotlib", "train: 01_first needs matplotlib to go on"),
        ("from matplotlib.figure import Figure", "pip install 'tinygrad-edu[plot]'"),
        ("from tinygrad_edu import nn; nn.History([nn.Epoch(*6 * [1.0])]).plot('x.png')",
         "pip install 'tinygrad-edu[plot]'"),
    ],
)  # fmt: skip
def test_train_names_the_extra_that_an_example_needs(capsys, examples, without, source, message):
    without("matplotlib")
    examples(f"print('the figure')\n{source}")
    status, text = answer(capsys, "train", "1")
    assert status == 2 and "the figure" in text and message in text


def test_train_hides_no_other_import_error(examples):
    examples("import no_such_module_anywhere")
    with pytest.raises(ModuleNotFoundError):
        cli.main(["train", "1"])


def test_ctrl_c_ends_an_example_and_not_only_the_training_that_it_is_in(capsys, examples):
    examples(
        """
        import signal
        import numpy as np
        import tinygrad_edu as tg
        from tinygrad_edu import nn, optim

        net = nn.Linear(1, 1, rng=np.random.default_rng(0))
        press = lambda history: signal.raise_signal(signal.SIGINT)
        nn.fit(net, [(np.ones((2, 1)), np.ones((2, 1)))], tg.mse_loss,
               optim.SGD(net.parameters()), 3, metric=None, on_epoch=press, progress=False)
        print("the next training")
        """
    )
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "1"])
    assert end.value.code == 130
    assert capsys.readouterr() == ("", "\ntinygrad-edu: stopped\n")
    assert signal.getsignal(signal.SIGINT) is before
