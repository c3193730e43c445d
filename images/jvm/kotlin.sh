# Compiles the *.kt files; .main tells `java` which class to run.
set -eu
home=/usr/share/kotlin/kotlinc
package=$(sed -nE 's/^package +([A-Za-z0-9_.]+).*/\1./p' main.kt | head -n 1)
java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -XX:MaxRAMPercentage=60 \
  -cp $home/lib/kotlin-preloader.jar org.jetbrains.kotlin.preloading.Preloader \
  -cp $home/lib/kotlin-compiler.jar org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
  -kotlin-home $home -d .classes $(find . -name '*.kt')
libraries=/usr/share/java/kotlin-stdlib.jar:/usr/share/java/kotlin-stdlib-jdk7.jar:/usr/share/java/kotlin-stdlib-jdk8.jar
echo "-cp .classes:$libraries ${package}MainKt" > .main
