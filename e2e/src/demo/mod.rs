//! The demo: the seed's tenant and an application on real servers, then a conversation with DBHub and a login as the
//! application. Expects the operators to be installed. What it shows goes to standard output, progress to standard
//! error.

mod conversation;
mod objects;
mod tenant;

use anyhow::Result;

use crate::progress::Progress;
use crate::testing::Harness;

/// Shows all three operators at work, and says how to go on by hand.
pub async fn run(harness: &Harness, progress: Progress) -> Result<()> {
    progress.step("logins of the tenant on PostgreSQL and MariaDB", tenant::prepare(harness.servers())).await?;
    progress.step("kubectl apply -f examples/tenant-acme.yaml", apply(harness, "examples/tenant-acme.yaml")).await?;
    progress.step("kubectl apply -f examples/appdatabase.yaml", apply(harness, "examples/appdatabase.yaml")).await?;
    objects::wait(harness, progress).await?;
    let spoken = progress.step("a conversation with DBHub, through its Service", conversation::with_dbhub(harness));
    let spoken = spoken.await?;
    let said = progress.step("a login with the application's Secret", conversation::as_application(harness)).await?;
    println!("{}", objects::tables(harness).await?);
    println!("What an AI agent sees (POST http://acme-dbhub.tas-acme.svc:8080/mcp):\n{spoken}");
    println!("What the application sees (with Secret myapp/myapp-mysql-creds):\n{said}");
    println!("{}", how_to_go_on(harness));
    Ok(())
}

async fn apply(harness: &Harness, file: &str) -> Result<()> {
    harness.apply_file(None, file).await.map(drop)
}

fn how_to_go_on(harness: &Harness) -> String {
    let (enter, leave) = match harness.cluster() {
        Some(_) => ("  eval \"$(cargo xtask cluster env)\"\n", "  cargo xtask cluster down"),
        None => ("", "  kubectl delete -f examples/tenant-acme.yaml -f examples/appdatabase.yaml"),
    };
    format!(
        "Try it by hand:
{enter}  kubectl get databases,dbhubinstances -n tas-acme
  kubectl describe dbhubinstance acme-dbhub -n tas-acme
  kubectl scale dbhubinstance acme-dbhub -n tas-acme --replicas=3
  kubectl get secret myapp-mysql-creds -n myapp -o yaml
  cargo run -p bootstrap-mysql-schema -- --name shop --namespace myapp

Stop it:
{leave}"
    )
}
