# Says what a sandbox is like, for `sandmount doctor`; changes nothing.
# ROOT: prints KEY VALUE lines.
root=$1
for t in tar find stat xargs sort mkdir rm mv ln cat chmod grep sed cmp wc; do
	command -v $t >/dev/null 2>&1 || echo "missing $t"
done
TZ=UTC stat -c '%f %s %y %z %i %n' . >/dev/null 2>&1 || echo "missing stat -c"
command -v sha256sum >/dev/null 2>&1 || echo "without sha256sum"
command -v comm >/dev/null 2>&1 || echo "without comm"
find / -maxdepth 0 -printf '' >/dev/null 2>&1 || echo "without find -printf"
echo "system $(uname -sm 2>/dev/null)"
command -v tar >/dev/null 2>&1 && echo "tar $(tar --version 2>&1 | sed -n 1p)"
echo "clock $(date +%s)"
echo "user $(id -u 2>/dev/null)"
at=$root
while [ ! -d "$at" ] && [ "$at" != / ] && [ -n "$at" ]; do
	[ ! -e "$at" ] || echo "blocked $at"
	at=${at%/*}
done
[ -n "$at" ] || at=/
[ "$at" = "$root" ] && echo "root there" || echo "root absent"
[ -w "$at" ] && [ -x "$at" ] && echo "writable yes"
echo "free $(df -Pk "$at" 2>/dev/null | sed -n '2s/.* \([0-9][0-9]*\)  *[0-9][0-9]*%.*/\1/p')"
exit 0
