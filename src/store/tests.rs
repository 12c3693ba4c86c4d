use super::*;

#[test]
fn network_shares_are_recognised_by_their_longest_mount() {
    let mounts = "dev / ext4 rw 0 0\n//srv/share /mnt/share cifs rw 0 0\ndev /mnt/share/local ext4 rw 0 0\n\
                  srv:/x /with\\040space nfs4 rw 0 0\n";
    let check = |folder: &str, kind: Option<&str>| {
        assert_eq!(network_mount(mounts, Path::new(folder)).as_deref(), kind, "{folder}");
    };
    check("/var/lib", None);
    check("/mnt/share/db", Some("cifs"));
    check("/mnt/share/local/db", None);
    check("/with space/db", Some("nfs4"));
}
