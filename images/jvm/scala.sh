# Compiles the *.scala files; .main tells `java` which class to run.
set -eu
package=$(sed -nE 's/^package +([A-Za-z0-9_.]+).*/\1./p' main.scala | head -n 1)
name=$(awk '/^ *object /{name = $2; sub(/[^A-Za-z0-9_].*/, "", name)} /^ *object .* App|def main *\(/{print name; exit}' main.scala)
export JAVA_OPTS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -XX:MaxRAMPercentage=60"
mkdir .classes
scalac -encoding UTF-8 -d .classes $(find . -name '*.scala')
echo "-cp .classes:/usr/share/java/scala-library.jar $package${name:-Main}" > .main
