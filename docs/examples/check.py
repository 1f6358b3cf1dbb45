#!/usr/bin/env python3
"""Cuts the code out of docs/checksum-examples.md and runs it on the vectors in tests/fixtures.

    docs/examples/check.py [LANGUAGE...]

Without arguments every language whose tools are installed is run and the others are named. A language
that is asked for must be there. Exit status 1: a result is wrong, or a language asked for is missing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from decimal import Decimal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = open(os.path.join(ROOT, "docs/checksum-examples.md"), encoding="utf-8").read()
VECTORS = json.load(open(os.path.join(ROOT, "tests/fixtures/checksum-vectors.json"), encoding="utf-8"))
VERSIONS = ("v1", "v2.1")
TIMEOUT_S = 120

# What no accepted payload holds, and only the PHP example reproduces: a null amount (under v1), integers
# beyond 64 bits, texts that are partly numbers, extreme floats, member names that are numbers.
PHP_ONLY = {("10", "v1"), *((n, v) for n in ("13", "16", "19", "22", "23") for v in VERSIONS)}

TOOLS = {
    "php": ["php"],
    "python": [sys.executable],
    "javascript": ["node"],
    "java": ["javac", "java"],
    "csharp": ["mcs", "mono"],
}


def block(info):
    """The code block of the page that opens with this info string."""
    return re.search(r"^```" + re.escape(info) + r"\n(.*?)^```$", PAGE, re.M | re.S).group(1)


def cases(language):
    """(name, body, version, canonical text or None, checksum)"""
    sample = block("json").strip()
    for version in VERSIONS:
        text, digest = block("text " + version).splitlines()
        yield "page " + version, sample, version, text, digest
    for vector in VECTORS["vectors"]:
        for version in VERSIONS:
            if language == "php" or (vector["name"][:2], version) not in PHP_ONLY:
                right = vector[version]
                yield vector["name"], vector["input"], version, right["canonical"], right["sha256"]
    for name, envelope in VECTORS["envelopes"].items():
        version = name.rsplit("-", 1)[1]
        if version in VERSIONS:
            yield name, json.dumps(envelope), version, None, envelope["payload_checksum"]


def java(value):
    """A value as a Java expression."""
    if isinstance(value, dict):
        return "map(" + ",".join(java(k) + "," + java(v) for k, v in value.items()) + ")"
    if isinstance(value, list):
        return "list(" + ",".join(map(java, value)) + ")"
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return 'new java.math.BigDecimal("%s")' % value
    return json.dumps(value)


def csharp(value):
    """A value as a C# expression."""
    if isinstance(value, dict):
        members = ("{%s,%s}" % (csharp(k), csharp(v)) for k, v in value.items())
        return "new Dictionary<string,object>{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "new List<object>{" + ",".join(map(csharp, value)) + "}"
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return "%sm" % format(value, "f") if isinstance(value, Decimal) else "%dm" % value
    return json.dumps(value)


def program(language, code, tests):
    """Files of a program that prints canonical text and checksum of each case as JSON lines."""
    data = json.dumps([[body, version] for _, body, version, _, _ in tests])
    exact = [json.loads(body, parse_float=Decimal) for _, body, _, _, _ in tests]
    if language == "php":
        run = """foreach (json_decode(file_get_contents('cases.json')) as [$body, $version]) {
            $object = json_decode($body, true);
            if (isset($object['submission_uuid'])) { $object = tsms_sign($object, $version); }
            echo json_encode([tsms_canonical_text($object, $version), tsms_checksum($object, $version)]), "\\n";
        }"""
        return {"run.php": "<?php\n" + code + run, "cases.json": data}, [["php", "run.php"]]
    if language == "python":
        run = """
for body, version in json.load(open("cases.json")):
    obj = json.loads(body, parse_float=Decimal)
    if "submission_uuid" in obj: sign(obj, version)
    print(json.dumps([canonical_text(obj, version), checksum(obj, version)]))
"""
        return {"run.py": code + run, "cases.json": data}, [[sys.executable, "run.py"]]
    if language == "javascript":
        run = """
for (const [body, version] of JSON.parse(require("node:fs").readFileSync("cases.json", "utf8"))) {
  const object = JSON.parse(body);
  if (object.submission_uuid) sign(object, version);
  console.log(JSON.stringify([canonicalText(object, version), checksum(object, version)]));
}"""
        return {"run.js": code + run, "cases.json": data}, [["node", "run.js"]]
    versions = [version for _, _, version, _, _ in tests]
    if language == "java":
        calls = ["show(%s,%s);" % (java(obj), json.dumps(version)) for obj, version in zip(exact, versions)]
        run = """
class Run {
    static Map<String, Object> map(Object... all) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < all.length; i += 2) map.put((String) all[i], all[i + 1]);
        return map;
    }
    static List<Object> list(Object... all) { return new ArrayList<>(Arrays.asList(all)); }
    static void show(Map<String, Object> object, String version) throws Exception {
        if (object.containsKey("submission_uuid")) TsmsChecksum.sign(object, version);
        byte[] text = TsmsChecksum.canonicalText(object, version).getBytes(StandardCharsets.UTF_8);
        System.out.println("[\\"" + HexFormat.of().formatHex(text) + "\\",\\"" + TsmsChecksum.checksum(object, version) + "\\"]");
    }
    public static void main(String[] none) throws Exception {
        @CALLS@
    }
}"""
        files = {"Run.java": code + run.replace("@CALLS@", "\n".join(calls))}
        return files, [["javac", "-encoding", "UTF-8", "Run.java"], ["java", "Run"]]
    calls = ["Show(%s,%s);" % (csharp(obj), json.dumps(version)) for obj, version in zip(exact, versions)]
    run = """
static class Run
{
    static void Show(IDictionary<string, object> members, string version)
    {
        if (members.ContainsKey("submission_uuid")) TsmsChecksum.Sign(members, version);
        var text = Encoding.UTF8.GetBytes(TsmsChecksum.CanonicalText(members, version));
        Console.WriteLine("[\\"" + string.Concat(text.Select(b => b.ToString("x2"))) + "\\",\\"" + TsmsChecksum.Checksum(members, version) + "\\"]");
    }
    static void Main()
    {
        @CALLS@
    }
}"""
    files = {"Run.cs": code + run.replace("@CALLS@", "\n".join(calls))}
    return files, [["mcs", "-out:run.exe", "Run.cs"], ["mono", "run.exe"]]


def check(language):
    """The number of cases, after all gave the right text and checksum."""
    tests = list(cases(language))
    with tempfile.TemporaryDirectory() as folder:
        files, commands = program(language, block(language), tests)
        for name, content in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT_S)
            if done.returncode:
                sys.exit("%s: %s\n%s" % (language, command, done.stderr.decode("utf-8", "replace")[:4000]))
    answers = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    if len(answers) != len(tests):
        sys.exit("%s: %d answers for %d cases" % (language, len(answers), len(tests)))
    for (name, body, version, text, digest), (got, got_digest) in zip(tests, answers):
        if language in ("java", "csharp"):
            got = bytes.fromhex(got).decode("utf-8")
        if got_digest != digest or (text is not None and got != text):
            sys.exit("%s: %s under %s\n  body  %s\n  right %s\n  got   %s" % (language, name, version, body, text, got))
    return len(tests)


def main(asked):
    missing = False
    for language in asked or TOOLS:
        lacking = [tool for tool in TOOLS[language] if not shutil.which(tool)]
        if lacking:
            print("%s: not run, %s is not installed" % (language, ", ".join(lacking)))
            missing = True
        else:
            print("%s: %d cases right" % (language, check(language)))
    return 1 if missing and asked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
