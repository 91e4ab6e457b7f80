package ui

// bashScript needs bash 4, and makes do without the package bash-completion. Files are left to readline, which knows
// about blanks and tildes.
const bashScript = `# shellcheck shell=bash
# Completes the flags and arguments of <<.Name>> in bash 4 or later. For this shell:
#   source <(<<.Name>> -completion bash)

# <<.Function>>_add offers the words that begin like the one at the cursor.
<<.Function>>_add() {
	local word quoted
	for word; do
		printf -v quoted %q "$word"
		if [[ $word == "$cur"* || $quoted == "$cur"* ]]; then
			COMPREPLY+=("${quoted#"$kept"}")
		fi
	done
}

# <<.Function>>_lines offers each line of its input.
<<.Function>>_lines() {
	local line
	while IFS= read -r line; do
		<<.Function>>_add "$lead$line"
	done
}

# <<.Function>>_value completes the value of a flag.
<<.Function>>_value() {
	case $1 in
<<- range .Flags>><<if .Values>>
	<<.Name>>) <<$.Function>>_add<<range .Values>> "$lead"<<quote .>><<end>> ;;
<<- else if eq .Word "FILE">>
	<<.Name>>) compopt -o default ;;
<<- else if eq .Word "DIRECTORY">>
	<<.Name>>) compopt -o dirnames ;;
<<- else if eq .Word "INTERFACE">>
	<<.Name>>) <<$.Function>>_lines < <(builtin cd /sys/class/net 2>/dev/null && compgen -d) ;;
<<- else if eq .Word "HOST">>
	<<.Name>>) <<$.Function>>_lines < <(compgen -A hostname) ;;
<<- end>><<end>>
	esac
}

# <<.Function>> completes the word at the cursor, cur. Of that, readline leaves the start, kept, as it is. In
# -flag=value the start up to the value is lead.
<<.Function>>() {
	local cur kept lead='' piece glue='' flag='' behind='' arguments=0 i words=()
	COMPREPLY=()
	# Bash cuts words at = and :, so they are put together again.
	for piece in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		if [[ ${#words[@]} -gt 0 && -n $piece && -z ${piece//[=:]/} ]]; then
			words[${#words[@]}-1]+=$piece
			glue=yes
		elif [[ -n $glue && -n $piece ]]; then
			words[${#words[@]}-1]+=$piece
			glue=''
		else
			words+=("$piece")
			glue=''
		fi
	done
	for ((i = 0; i < ${#words[@]} - 1; i++)); do
		if [[ -n $flag ]]; then
			flag='' # this is its value
			continue
		fi
		case $behind${words[i]} in
		--) behind=yes ;;
		-*=*) ;;
		-?*)
			flag=${words[i]#-}
			flag=${flag#-}
			case $flag in
			<<join .NoValue " | ">>) flag='' ;;
			esac
			;;
		*) arguments=$((arguments + 1)) ;;
		esac
	done
	cur=${words[i]-}
	piece=${COMP_WORDS[COMP_CWORD]}
	[[ -n ${piece//[=:]/} ]] || piece=''
	kept=${cur%"$piece"}

	if [[ -n $flag ]]; then
		<<.Function>>_value "$flag"
	elif [[ -z $behind && $cur == -*=* ]]; then
		lead=${cur%%=*}=
		flag=${cur%%=*}
		flag=${flag#-}
		<<.Function>>_value "${flag#-}"
	elif [[ -z $behind && $cur == -* ]]; then
		lead=-
		[[ $cur != --* ]] || lead=--
		<<.Function>>_add<<range .Flags>> "$lead"<<.Name>><<end>>
<<- if .HostsFlag>>
	elif [[ $arguments -eq 0 ]]; then
		<<.Function>>_lines < <(command <<.Name>> -<<.HostsFlag>> 2>/dev/null; compgen -A hostname)
<<- end>>
	fi
}

complete -F <<.Function>> <<.Name>>
`
