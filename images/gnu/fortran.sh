# Compiles *.f90 and the like to `program`. A module must be compiled before what uses it: what
# fails is tried again as long as another has succeeded meanwhile.
set -u
shopt -s nullglob
left=(*.f90 *.f95 *.f03 *.f08 *.f *.for)
while [ ${#left[@]} != 0 ]; do
    again=() said=
    for each in "${left[@]}"; do
        words=$(gfortran -O1 -Wall -c -o "$each.o" "$each" 2>&1) || { again+=("$each"); said+="$words"$'\n'; continue; }
        [ -z "$words" ] || printf '%s\n' "$words" >&2
    done
    [ ${#again[@]} != ${#left[@]} ] || { printf %s "$said" >&2; exit 1; }
    left=(${again[@]+"${again[@]}"})
done
exec gfortran -o program *.o
