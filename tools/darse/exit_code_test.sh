#!/bin/bash
# The whole program without any service: exit codes, where output goes, what a missing service looks like.
set -u
darse=$1
base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
export DARSE_RUN=$base/run DARSE_ROOT=$base/root DARSE_CONFIG=/dev/null
failures=0

# expect CODE WHERE PATTERN ARGUMENT...: WHERE is out or err.
expect() {
  local code=$1 where=$2 pattern=$3
  shift 3
  "$darse" "$@" >"$base/out" 2>"$base/err" </dev/null
  local got=$?
  if [ $got != "$code" ]; then
    echo "darse $*: exit code $got, not $code"; cat "$base/err"; failures=$((failures + 1))
  elif ! grep -q -- "$pattern" "$base/$where"; then
    echo "darse $*: no \"$pattern\" in std$where:"; cat "$base/$where"; failures=$((failures + 1))
  fi
}

expect 0 out 'usage: darse VERB' help
expect 0 out 'exit codes' --help
expect 2 out 'usage: darse VERB'
expect 0 out 'usage: darse run' run --help
expect 0 out 'image load' image
expect 0 out '^darse ' --version
expect 0 out 'complete -o default -F _darse darse' completion bash
expect 2 err 'no verb "fly"' fly
expect 2 err 'did you mean --name' run --nam x image
expect 2 err 'needs more arguments' run

for verb in ps images "volume ls" "network ls" info df "inspect x" "run x" "run -d x" "exec x y" "stop x" "logs x" "events"; do
  # shellcheck disable=SC2086
  expect 75 err 'the runtime is missing' $verb
done
expect 75 err 'still works' ps
expect 75 err 'queued by this command: nothing' ps
expect 75 err 'the scheduler is missing' stacks
expect 75 err 'the metrics is missing' metrics
expect 75 err 'the builder is missing' build "$base"
expect 75 out '"services":\[{"name":"runtime","up":false' status --format json
expect 75 out 'waits for it' status

expect 1 err 'port "x": "x" is no port' run -p x image
expect 1 err 'no size' run -m lots image
expect 2 err '-t needs a terminal' run -it image
expect 1 err 'No such file' image load -i "$base/none.tar"
exit $((failures > 0))
