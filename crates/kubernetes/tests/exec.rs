//! Programs in containers of a real cluster.

use serde_json::json;
use squall_kubernetes::testing::{Lab, Room, in_a_room};
use squall_kubernetes::{Cluster, ClusterError, Deletion, Exec, Problem, Ran};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn shell(cluster: &Cluster, room: &Room, script: &str) -> Result<Ran, ClusterError> {
    cluster.run(&room.name, "box", Some("main"), &["sh", "-c", script]).await
}

/// Runs a test beside a pod that does nothing.
fn beside_a_box(word: &str, test: impl AsyncFnOnce(&Cluster, &Room) -> Result<(), ClusterError>) {
    in_a_room(word, async |Lab { cluster, .. }, room| {
        room.pod("box", &json!({}), &room.pod_spec("sleep 1000")).await?;
        test(cluster, room).await
    });
}

#[test]
fn a_program_runs_to_its_end() {
    beside_a_box("run", async |cluster, room| {
        let ran = shell(cluster, room, "echo out; echo err >&2; exit 3").await?;
        assert_eq!(ran, Ran { code: 3, stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() });
        assert_eq!(shell(cluster, room, "kill -9 $$").await?.code, 137);
        let none = cluster.run(&room.name, "box", None, &["/nonesuch", "secret"]).await.unwrap_err();
        assert_eq!(none.problem, Problem::Invalid);
        let words = none.to_string();
        assert!(words.contains("/nonesuch") && !words.contains("secret"), "{words}");
        let nobody = cluster.run(&room.name, "nobody", None, &["ls"]).await.unwrap_err();
        assert_eq!(nobody.problem, Problem::NotFound, "{nobody}");
        let nowhere = cluster.run(&room.name, "box", Some("other"), &["ls"]).await.unwrap_err();
        assert_eq!(nowhere.problem, Problem::Invalid, "{nowhere}");
        let log = cluster.logs(&room.name, "box", Some("main"), 10).await?;
        assert_eq!(log, "");
        Ok(())
    });
}

#[test]
fn much_goes_both_ways_at_once() {
    beside_a_box("much", async |cluster, room| {
        const LENGTH: usize = 5_000_000;
        let script = format!("head -c {LENGTH}; exit 7");
        let Exec { mut stdin, mut stdout, mut stderr, exit } =
            cluster.exec(&room.name, "box", None, &["sh", "-c", &script]).await?;
        let sent: Vec<u8> = (0..LENGTH).map(|number| (number % 251) as u8).collect();
        let (mut came, mut complained) = (Vec::new(), Vec::new());
        let (written, read, complaints) = tokio::join!(
            stdin.write_all(&sent),
            stdout.read_to_end(&mut came),
            stderr.read_to_end(&mut complained)
        );
        assert!(written.is_ok() && complaints.is_ok(), "{written:?} {complaints:?}");
        assert!(read.unwrap() == LENGTH && came == sent && complained.is_empty());
        assert_eq!(exit.code().await?, 7);
        Ok(())
    });
}

#[test]
fn a_program_whose_brain_is_gone_reads_the_end_and_lives_on() {
    beside_a_box("gone", async |cluster, room| {
        let script = "echo ready; cat > /tmp/read; echo said; echo $? > /tmp/end";
        let Exec { mut stdin, mut stdout, stderr, exit } =
            cluster.exec(&room.name, "box", None, &["sh", "-c", script]).await?;
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        stdin.write_all(b"hello").await.unwrap();
        room.until("what is written to be read", async || {
            Ok(shell(cluster, room, "cat /tmp/read").await?.stdout == b"hello")
        })
        .await?;
        // As long as one part is held, so is the connection.
        drop((stdin, stdout, stderr));
        assert_eq!(shell(cluster, room, "cat /tmp/end").await?.code, 1);
        drop(exit);
        room.until("its end", async || Ok(shell(cluster, room, "cat /tmp/end").await?.stdout == b"0\n")).await
    });
}

#[test]
fn whoever_waits_for_a_program_is_told_that_its_pod_is_gone() {
    beside_a_box("lost", async |cluster, room| {
        let Exec { stdin: _stdin, stdout: _stdout, stderr: _stderr, exit } =
            cluster.exec(&room.name, "box", None, &["sleep", "1000"]).await?;
        let pod = cluster.pod(&room.name, "box").await?.unwrap();
        cluster.delete(&pod.reference(), &Deletion { grace: Some(0), ..Deletion::default() }).await?;
        // Either its program is seen to be killed, or the connection is lost first.
        let end = exit.code().await;
        let is_told =
            end.as_ref().map_or_else(|error| error.problem == Problem::Unknown, |code| *code == 137);
        assert!(is_told, "{end:?}");
        Ok(())
    });
}
