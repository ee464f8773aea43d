#!/bin/sh
# Runs a command whose output nobody reads while it works: one line says what is done and where its log is; the log's
# end is shown if it fails.
# usage: logged.sh WHAT LOG COMMAND [ARGUMENT ...]
what=$1
log=$2
shift 2
echo "$what (log: $log)"
{
    echo "\$ $*"
    "$@"
} >>"$log" 2>&1
code=$?
if [ "$code" != 0 ]; then
    echo "$what failed with exit code $code. The end of $log:"
    tail -n 20 "$log" | sed 's/^/    /'
fi >&2
exit "$code"
