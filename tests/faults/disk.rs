//! A disk that fills up: a worker with a small one of its own, in a mount namespace that needs no privilege.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use tokio::time::interval;

use crate::{scenarios, site::Site};

scenarios!(start(), {
    TsmsDiskFull => full,
    TsmsDiskFillsUp => fills_up,
});

/// Of the disk.
const MIB: usize = 64;

async fn start() -> Site {
    let mut site = Site::start("", |text| text).await;
    let data = site.home().join("data");
    let archive = site.home().join("archive");
    fs::create_dir(&data).unwrap();
    fs::create_dir(&archive).unwrap();
    let folder = data.display().to_string();
    let line = site.fleet.lines["audit"].replace("exec ", "");
    let line = format!(
        "exec unshare --user --map-root-user --mount sh -euc 'mount -t tmpfs -o size={MIB}m none {folder}; \
         export TSMS__FLEET__DATA_DIR={folder}; exec {line}'"
    );
    site.fleet.lines.insert("audit".to_owned(), line);
    site.somebody("systemctl restart tsms-worker@audit").await;
    site.set("DATA", &folder);
    site.set("ARCHIVE", &archive.display().to_string());
    site.sit_at("audit.1");
    site
}

/// A file on the small disk, as this process sees it.
fn log(site: &Site, name: &str) -> File {
    let pid = site.fleet.running["audit.1"].guarded.pid();
    let inside = site.home().join("data").join(name);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    File::create(root.join(inside.strip_prefix("/").unwrap())).unwrap()
}

fn write(file: &mut File, mib: usize) {
    for _ in 0..mib {
        file.write_all(&[b'x'; 1 << 20]).unwrap();
    }
}

async fn full(site: &mut Site) {
    write(&mut log(site, "tsms.log.1"), MIB - 8);
    write(&mut log(site, "tsms.log.2"), 3);
    site.alert().await;
    site.look(&["93%", "tsms.log.1"]).await;
    site.cure().await;
    site.over().await;
    let kept = fs::read_dir(site.home().join("archive")).unwrap();
    assert_eq!(kept.count(), 2);
}

async fn fills_up(site: &mut Site) {
    let mut file = log(site, "tsms.log.1");
    let grows = tokio::spawn(async move {
        let mut turn = interval(Duration::from_millis(500));
        for _ in 0..MIB / 2 {
            turn.tick().await;
            write(&mut file, 1);
        }
    });
    site.alert().await;
    site.look(&["tsms-audit"]).await;
    site.look(&["tsms.log.1"]).await;
    grows.abort();
    site.cure().await;
    site.over().await;
}
