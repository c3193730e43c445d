# Compiles Main.java and what is beside and below it; .main tells `java` which class to run.
set -eu
public=$(sed -nE 's/^public +((abstract|final|sealed|strictfp) +)*(class|interface|enum|record) +(\w+).*/\4/p' Main.java | head -n 1)
first=$(sed -nE 's/^(\w+ +)*(class|interface|enum|record) +(\w+).*/\3/p' Main.java | head -n 1)
package=$(sed -nE 's/^package +([A-Za-z0-9_.]+) *;.*/\1./p' Main.java | head -n 1)
name=${public:-$first}
! grep -qE '^(\w+ +)*(class|interface|enum|record) +Main\b' Main.java || name=Main
# A file has the name of its public class.
[ -z "$public" ] || [ "$public" = Main ] || [ -e "$public.java" ] || mv Main.java "$public.java"
find . -name '*.java' > .sources
javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-XX:-UsePerfData -J-XX:MaxRAMPercentage=60 -encoding UTF-8 -d .classes @.sources
echo "-cp .classes $package${name:-Main}" > .main
