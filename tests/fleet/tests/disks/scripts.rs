use crate::support::{DB, Region, possible, spec, wait_until};
use fleet::machine::ScriptEnd;
use std::path::Path;
use std::time::{Duration, Instant};

fn process_is_there(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

/// Waits for a script to write a number into a file of the instance, read by another script.
fn number_in(region: &Region, file: &str) -> String {
    let mut number = String::new();
    wait_until(file, || {
        number = region.run(&format!("cat {file} 2>/dev/null")).stdout.trim().to_owned();
        !number.is_empty()
    });
    number
}

#[test]
fn a_script_runs_as_the_agent_runs_it() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let result = region.run(
        "echo \"$SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME\"\n\
         echo \"$0\"\n\
         stat -c %a \"$0\"\n\
         [ \"$(ps -o pgid= -p $$ | tr -d ' ')\" = \"$$\" ] || [ \"$(cut -d' ' -f5 /proc/$$/stat)\" != \"$(cut -d' ' -f6 /proc/$$/stat)\" ] && echo own-group\n\
         echo \"${HOME-no-home} ${PATH%%:*}\"\n\
         echo oops >&2\n\
         exit 7",
    );
    assert_eq!(result.end, ScriptEnd::Exited(7));
    let lines: Vec<_> = result.stdout.lines().collect();
    assert_eq!(lines[0], format!("1234-abcd {DB} eu-central-1"));
    assert!(lines[1].starts_with(&format!("/var/lib/amazon/ssm/{DB}/document/orchestration/1234-abcd/")));
    assert_eq!(lines[2..], ["700", "own-group", "no-home /opt/stillframe/bin"]);
    assert_eq!(result.stderr, "oops\n");
    assert!(!Path::new(lines[1]).exists(), "the script was written on the host");
    region.end();
}

#[test]
fn a_first_line_that_names_an_interpreter_is_honoured() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let result = region.run("#!/bin/cat\nprinted, not run");
    assert_eq!(
        (result.end, result.stdout.as_str()),
        (ScriptEnd::Exited(0), "#!/bin/cat\nprinted, not run\n")
    );
    region.end();
}

#[test]
fn output_beyond_the_limits_is_read_and_dropped() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let result = region.run("yes | head -c 1000000\nyes | head -c 1000000 >&2");
    assert_eq!(result.end, ScriptEnd::Exited(0));
    assert_eq!((result.stdout.len(), result.stderr.len()), (24_000, 8_000));
    region.end();
}

#[test]
fn who_holds_stdout_keeps_the_script_in_progress() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let before = Instant::now();
    let result = region.run("(sleep 0.4; echo late) &\nexit 3");
    assert_eq!((result.end, result.stdout.as_str()), (ScriptEnd::Exited(3), "late\n"));
    assert!(before.elapsed() >= Duration::from_millis(400));
    let before = Instant::now();
    let result = region.run("setsid sleep 30 >/dev/null 2>&1 </dev/null &\nexit 0");
    assert_eq!(result.end, ScriptEnd::Exited(0));
    assert!(before.elapsed() < Duration::from_secs(20), "who holds nothing was waited for");
    region.end();
}

#[test]
fn a_timeout_kills_the_group_and_not_another_session() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let script = "setsid sh -c 'echo $$ > /run/other; exec sleep 60' &\n\
                  sh -c 'echo $$ > /run/child; exec sleep 60' &\n\
                  echo begun\n\
                  wait";
    let running = region.start_for(script, Duration::from_millis(1_500));
    let (other, child) = (number_in(&region, "/run/other"), number_in(&region, "/run/child"));
    let result = running.wait();
    assert_eq!((result.end, result.stdout.as_str()), (ScriptEnd::TimedOut, "begun\n"));
    wait_until("the group's end", || !process_is_there(&child));
    assert!(process_is_there(&other), "the agent's SIGKILL does not reach another session");
    region.end();
    assert!(!process_is_there(&other), "it outlived the region");
}

#[test]
fn a_cancel_kills_the_group() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let running = region.start("sh -c 'echo $$ > /run/child; exec sleep 60' &\nwait");
    let child = number_in(&region, "/run/child");
    assert_eq!(
        std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap().split(' ').nth(4).unwrap(),
        running.process_group().unwrap().to_string()
    );
    running.kill();
    assert_eq!(running.wait().end, ScriptEnd::Killed);
    wait_until("the group's end", || !process_is_there(&child));
    running.kill();
    assert_eq!(running.wait().end, ScriptEnd::Killed, "a second kill changes nothing");
    region.end();
}

#[test]
fn a_signal_that_is_not_the_agents_is_told_as_the_shell_does() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    assert_eq!(region.run("kill -TERM $$").end, ScriptEnd::Exited(143));
    region.end();
}
