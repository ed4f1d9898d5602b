# What the commands of a batch are made of; goes before them in c/do. SESSION
# AGAIN: our directory, and 1 when an earlier run of them was cut. What is to
# be put into directory number I waits in stage/t/I; what is no longer there is
# in its place. Each command may fail without stopping the others: the read-back
# decides what was done.
s=$1 again=$2 w=$PWD
umask 077
LC_ALL=C
export LC_ALL
# NAMEs of directory I to DIR. The dot: a DIR that is gone must not become what
# is moved, nor a link be followed by the tools that would.
put() { # I DIR NAME...
	i=$1 d=$2
	shift 2
	[ ! -L "$d" ] || { echo "$d has become a link" >&2; return; }
	(cd "$s/stage/t/$i" && mv -f "$@" "$w/$d/.")
}
# The same for new directories that hold all that is below them.
tree() { # I DIR NAME...
	put "$@"
	[ ! -L "$2" ] || return
	shift 2
	for p; do
		[ ! -d "$s/stage/t/$i/$p" ] || blend "$i" "$d" "$p"
	done
}
# Somebody made this directory after we looked: what it lacks is put into it.
# What it has stays: it is no version that we know.
blend() { # I DIR NAME
	(cd "$s/stage/t/$1" && find "$3" -print0 | xargs -0 sh -c '
	w=$1
	shift
	for p; do
		[ -e "$p" ] || [ -L "$p" ] || continue
		t=$w/$p
		if [ ! -e "$t" ] && [ ! -L "$t" ]; then
			mv -f "$p" "${t%/*}/."
		elif [ ! -d "$p" ] || [ -L "$p" ]; then
			echo "$p: was made by another" >&2
		elif [ ! -d "$t" ] || [ -L "$t" ]; then
			echo "$p: was made by another" >&2
			rm -rf "$p"
		fi
	done' sh "$w/$2")
}
# What is deleted is kept until the next batch; what was kept already is what
# is meant, and not what somebody made there since.
drop() { # DIR PATH...
	d=$1
	shift
	n=$#
	[ -n "$again" ] || n=0
	while [ $n -gt 0 ]; do
		[ -e "$s/old/$1" ] || [ -L "$s/old/$1" ] || set -- "$@" "$1"
		shift
		n=$((n - 1))
	done
	[ $# = 0 ] || mv -f "$@" "$s/old/$d/."
}
# So is what is replaced.
keep() { # DIR PATH...
	d=$1
	shift
	ln "$@" "$s/old/$d/."
}
# A link that is about to be replaced must not be followed.
unfollow() { # STAGED PATH
	{ [ -e "$s/stage/$1" ] || [ -L "$s/stage/$1" ]; } && [ -L "$2" ] &&
		rm -f "$2"
}
