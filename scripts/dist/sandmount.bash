# bash completion of sandmount: the program's own help is the list, so that it
# is never out of date.
_sandmount() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} help
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "--help --version $("$program" --help \
			2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')" \
			-- "$cur"))
		return
	fi
	# "--fsync=lo" comes as three words.
	if [ "$cur" = "=" ]; then
		cur=
	elif [ "$prev" = "=" ]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	case $prev in
	--local | --asset | --asset-follow | --exclude-from)
		COMPREPLY=($(compgen -f -- "$cur"))
		return
		;;
	esac
	help=$("$program" "$command" --help 2>/dev/null)
	case $cur in
	-*)
		COMPREPLY=($(compgen -W "$(printf '%s\n' "$help" | sed -n \
			's/^  \(-[a-z], \)*\(--[a-z][a-z-]*\).*/\2/p')" -- "$cur"))
		return
		;;
	esac
	# An option with a fixed set of values: --fsync=local|remote.
	case $prev in
	--*)
		local values=$(printf '%s\n' "$help" | sed -n \
			"s/^  \(-[a-z], \)*$prev=\([a-z]*|[a-z|]*\) .*/\2/p" | tr '|' ' ')
		if [ -n "$values" ]; then
			COMPREPLY=($(compgen -W "$values" -- "$cur"))
			return
		fi
		;;
	esac
	case $command in
	mount | prepare | doctor | spec)
		COMPREPLY=($(compgen -W "$("$program" mount --help |
			sed -n 's/^Providers: //p' | sed 's/ /: /g; s/$/:/')" \
			-- "$cur")
			$(compgen -f -- "$cur"))
		;;
	list | help) ;;
	*)
		COMPREPLY=($(compgen -W "$("$program" list 2>/dev/null |
			sed -n 's/^\([A-Za-z0-9._-]*\)  *[a-z]* .*/\1/p')" \
			-- "$cur"))
		;;
	esac
}
complete -F _sandmount sandmount
