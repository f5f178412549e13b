#!/bin/sh
# Bills of materials (CycloneDX 1.6, JSON): of what is locked, and of what really lies in an image's venv. Fails where
# the venv holds what the lock does not name, in another version, or with another set of parts. Asks nobody anything:
# no network is needed once the tool is there (`make .venv-deploy/sbom/.installed`).
#   deploy/sbom.sh OUT [VENV]     OUT: a folder; VENV: /opt/askgraph of an image, e.g. from
#                                 docker cp "$(docker create IMAGE)":/opt/askgraph VENV
set -eu
out=$1
venv=${2:-}
root=$(cd "$(dirname "$0")/.." && pwd)
tool=${CYCLONEDX:-$root/.venv-deploy/sbom/bin/cyclonedx-py}
mkdir -p "$out"

write() { # KIND OUTFILE SOURCE
    PYTHONWARNINGS=ignore "$tool" "$1" --pyproject "$root/pyproject.toml" --output-reproducible --sv 1.6 --of JSON --output-file "$2" "$3"
}

write requirements "$out/requirements.cdx.json" "$root/requirements.txt"
[ -n "$venv" ] || exit 0

# The venv's own Python may be for another system. All that is asked of it is where its packages are.
packages=$(find "$(cd "$venv" && pwd)/lib" -maxdepth 2 -type d -name site-packages)
python=$(mktemp)
trap 'rm -f "$python"' EXIT
printf '#!/bin/sh\nprintf %%s %s\n' "'[\"$packages\"]'" >"$python"
chmod +x "$python"
write environment "$out/venv.cdx.json" "$python"

"${PYTHON:-python3}" - "$out/requirements.cdx.json" "$out/venv.cdx.json" <<'END'
import json
import re
import sys


def parts(path):
    with open(path, encoding="utf-8") as file:
        found = json.load(file)["components"]
    return {(re.sub("[-_.]+", "-", one["name"]).lower(), one["version"]) for one in found}


OF_THE_VENV = {"pip", "askgraph"}  # it comes with the one, and is made for the other
locked, there = (parts(path) for path in sys.argv[1:])
strange = sorted(f"{name} {version}" for name, version in there - locked if name not in OF_THE_VENV)
if strange:
    sys.exit("in the venv, not in the lock: " + ", ".join(strange))
print(f"{len(there)} parts in the venv, {len(locked)} in the lock (some are for other systems)")
END
