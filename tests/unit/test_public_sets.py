"""Public sets of programs are read as their own evaluation reads them."""

import gzip
import json

from public_sets import humaneval, piston

PROBLEM = {
    "task_id": "Some/0",
    "prompt": "asked {\n",
    "import": "",
    "test_setup": "",
    "declaration": "use rand::Rng;\nuse regex::Regex;\n",
    "canonical_solution": "Regex }\n",
    "test": "#[cfg(test)]\nmod tests {\n  #[test]\n  fn it_does() {}\n}\nfunc TestIt(t *testing.T) {}",
}


def test_a_problem_becomes_a_program_in_each_language(tmp_path):
    for name in ("python", "js", "cpp", "go", "java", "rust"):
        folder = tmp_path / name / "data"
        folder.mkdir(parents=True)
        (folder / f"humaneval_{name}.jsonl.gz").write_bytes(gzip.compress(json.dumps(PROBLEM).encode()))
    programs = {program.language: program for program in humaneval(tmp_path)}
    assert sorted(programs) == ["c++", "go", "java", "javascript", "python", "rust", "typescript"]
    assert "asked {\nRegex }\n" in programs["c++"].code
    assert "func main() { TestIt(nil) }" in programs["go"].code
    assert "use regex::Regex;" in programs["rust"].code
    assert "rand" not in programs["rust"].code
    assert "pub fn it_does() {}" in programs["rust"].code
    assert "fn main() { tests::it_does(); }" in programs["rust"].code


def test_of_each_package_the_newest_test_is_taken_where_its_language_is_ours(tmp_path):
    for path in ("gcc/9.1/test.d", "gcc/10.2/test.d", "mono/6.1/test.vb", "zig/1/test.zig"):
        file = tmp_path / "packages" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    assert [(each.language, each.name, each.code) for each in piston(tmp_path)] == [
        ("d", "gcc/test.d", "gcc/10.2/test.d")
    ]
