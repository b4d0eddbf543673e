//! Gets Apache Kafka: its jars from Maven Central by the Maven client, into the cache, and a Java to run them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DevstackError;
use crate::cache::{self, find_program};
use crate::process::Launcher;
use crate::progress::Progress;

/// Apache Kafka's version.
const KAFKA: &str = "4.3.1";
/// The log4j that Kafka's distribution adds for its libraries that log through slf4j.
const LOG4J: &str = "2.25.4";
/// The oldest Java that runs Kafka 4 brokers.
const JAVA: u32 = 17;
const WHAT: &str = "Apache Kafka (Maven artifact org.apache.kafka:kafka_2.13)";

/// A Kafka that can be run.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    java: PathBuf,
    jars: PathBuf,
}

impl Installation {
    /// Finds Java and the cached jars, fetching the jars with Maven when they are missing.
    pub(crate) async fn find(launcher: &Launcher, progress: Progress) -> Result<Self, DevstackError> {
        let java = find_java().await?;
        let jars = cache::ensure(
            &format!("kafka-{KAFKA}"),
            |dir| ["kafka_2.13", "kafka-tools"].iter().all(|jar| dir.join(format!("{jar}-{KAFKA}.jar")).is_file()),
            async |into: &Path| fetch(launcher, into, progress).await,
        )
        .await?;
        Ok(Self { java, jars })
    }

    /// A command line that runs one of Kafka's main classes.
    pub(crate) fn command(&self, jvm: &[&str], log4j: &Path, class: &str, args: &[&str]) -> Vec<OsString> {
        let mut command = vec![self.java.clone().into_os_string()];
        command.extend(jvm.iter().map(OsString::from));
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(log4j);
        command.extend([logging, "-cp".into(), self.jars.join("*").into_os_string(), class.into()]);
        command.extend(args.iter().map(OsString::from));
        command
    }
}

async fn find_java() -> Result<PathBuf, DevstackError> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java =
        home.filter(|java| java.is_file()).or_else(|| find_program("java")).ok_or(DevstackError::MissingProgram {
            program: "java",
            purpose: "to run Apache Kafka",
            remedy: "install Java 17 or newer (on Debian: `apt-get install default-jre-headless`), or point \
                     SHADOW_KAFKA_BROKERS at a running broker",
        })?;
    let output = tokio::process::Command::new(&java)
        .arg("-version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| DevstackError::io("run", &java, error))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major_version(&text) {
        Some(major) if major >= JAVA => Ok(java),
        _ => {
            Err(DevstackError::JavaVersion { needed: JAVA, found: text.lines().next().unwrap_or("nothing").to_owned() })
        }
    }
}

/// The major version in what `java -version` prints: `17` in `openjdk version "17.0.15"`, `8` in `"1.8.0_402"`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match parts.next()?.ok()? {
        1 => parts.next()?.ok(),
        major => Some(major),
    }
}

/// Has Maven copy Kafka and what it needs into `into`, checking every checksum.
async fn fetch(launcher: &Launcher, into: &Path, progress: Progress) -> Result<(), DevstackError> {
    let maven = find_program("mvn").ok_or(DevstackError::MissingProgram {
        program: "mvn",
        purpose: "to fetch Apache Kafka",
        remedy: "install Maven (on Debian: `apt-get install maven`), or point SHADOW_KAFKA_BROKERS at a running broker",
    })?;
    let _step = progress.step("fetching Apache Kafka from Maven Central, once (43 MB)");
    let work = into.join("maven");
    fs::create_dir(&work).map_err(|error| DevstackError::io("create", &work, error))?;
    let pom = work.join("pom.xml");
    fs::write(&pom, project()).map_err(|error| DevstackError::io("write", &pom, error))?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(into);
    let flags = ["--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums"];
    let args = flags.map(OsString::from).into_iter();
    let goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"].map(OsString::from);
    cache::run_client(launcher, WHAT, &maven, args.chain(goal).chain([output]), &work).await?;
    fs::remove_dir_all(&work).map_err(|error| DevstackError::io("remove", &work, error))
}

/// A Maven project that is nothing but its dependencies.
fn project() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let kafka = dependency("org.apache.kafka", "kafka_2.13", KAFKA);
    // Of the command-line tools, only what needs nothing more: the others bring Kafka Connect with them.
    let tools = dependency("org.apache.kafka", "kafka-tools", KAFKA).replace(
        "</dependency>",
        "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>",
    );
    let log4j = dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J);
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>shadowline</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{kafka}{tools}{log4j}</dependencies></project>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_java_is_read_in_both_of_its_spellings() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(major_version("java version \"1.8.0_402\""), Some(8));
        assert_eq!(major_version("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major_version("no java here"), None);
    }
}
