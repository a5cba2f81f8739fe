//! The policy content-sync. git-sync cannot be had here, so its arguments are compared with the documentation; what it runs is git,
//! and that can.
use crate::kubelet::Container;
use crate::machine::program;
use crate::options::Options;
use crate::pods::{admit, container, texts};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where the helper works.
const ROOT: &str = "/srv/content";

const REPOSITORY: (&str, &str) = ("repository", "https://git.example/team/site.git");

#[test]
fn every_argument_is_an_option_that_git_sync_documents() {
    let options = Options::read("git-sync");
    let cases: &[&[(&str, &str)]] = &[
        &[REPOSITORY],
        &[
            REPOSITORY,
            ("secret", "git-reader"),
            ("maxFailures", "3"),
            ("depth", "0"),
            ("symlinks", "true"),
        ],
        &[
            REPOSITORY,
            ("submodules", "shallow"),
            ("period", "5s"),
            ("timeout", "10m"),
        ],
        &[
            REPOSITORY,
            ("submodules", "recursive"),
            ("period", "1h"),
            ("link", "live"),
        ],
    ];
    for parameters in cases {
        let pod = admit("content-sync", parameters).unwrap();
        let helper = container(&pod, "content-sync");
        assert_eq!(helper["image"], options.image());
        let mut found = options.findings("flags", texts(&helper["args"]));
        for variable in helper["env"].as_array().unwrap() {
            let value = match &variable["valueFrom"] {
                Value::Null => variable["value"].clone(),
                source => source["secretKeyRef"]["key"].clone(),
            };
            found.extend(options.finding("variables", variable["name"].as_str().unwrap(), &value));
        }
        assert_eq!(found, [""; 0], "{parameters:?}");
    }
}

#[test]
fn what_is_no_address_of_a_repository_never_reaches_git() {
    const REPOSITORIES: &[&str] = &[
        "",
        "--upload-pack=touch /tmp/x",
        "-u",
        "ext::sh -c id",
        "file:///etc",
        "/etc",
        "../site",
        "git://git.example/site",
        "ssh://git@git.example/site",
        "git@git.example:site",
        "ssh://-oProxyCommand=id/site",
        "https://-x/site",
        "https://user:password@git.example/site",
        "https://git.example",
        "https://git.example/a b",
        "https://git.example/site\n",
        "https://git.example/site --upload-pack=id",
        "https://git.example/site?x=$(GITSYNC_PASSWORD)",
        "HTTPS://git.example/site",
    ];
    const REFS: &[&str] = &[
        "",
        "-x",
        "--upload-pack=id",
        "+main",
        "main:refs/heads/other",
        "+refs/heads/*:refs/heads/*",
        "a..b",
        "a b",
        "main\n",
        "/main",
        "main/",
        "main^{}",
        "@{1}",
    ];
    const LINKS: &[&str] = &["", ".", "..", ".git", "a/b", "/srv", "-x"];
    const PATHS: &[&str] = &[
        "",
        "/",
        "/etc",
        "/usr/bin",
        "srv",
        "/srv/../etc",
        "/srv/.git",
        "/srv/a b",
        "/tmp",
        "/proc/self",
    ];
    let refused = |parameters: &[(&str, &str)]| {
        let message = admit("content-sync", parameters).expect_err(&format!("{parameters:?}"));
        assert!(
            message.contains("does not match the pattern"),
            "{parameters:?}: {message}"
        );
    };
    REPOSITORIES
        .iter()
        .for_each(|repository| refused(&[("repository", repository)]));
    for (name, values) in [("ref", REFS), ("link", LINKS), ("path", PATHS)] {
        values.iter().for_each(|value| refused(&[REPOSITORY, (name, value)]));
    }
    for (name, value) in [
        ("repository", "http://gitea.git.svc:3000/team/site"),
        ("repository", "https://git.example/~ann/.site-2/a_b+c.git/"),
        ("ref", "0123456789abcdef0123456789abcdef01234567"),
        ("ref", "refs/heads/dependabot/npm_and_yarn/a-1.2.3"),
        ("ref", "v1.2.0+build--3"),
        ("path", "/usr/share/nginx/html"),
    ] {
        let parameters = if name == "repository" {
            vec![(name, value)]
        } else {
            vec![REPOSITORY, (name, value)]
        };
        assert!(admit("content-sync", &parameters).is_ok(), "{name}: {value}");
    }
}

#[test]
fn the_application_reads_and_only_the_helper_writes() {
    let pod = admit("content-sync", &[REPOSITORY]).unwrap();
    let mount = &container(&pod, "web")["volumeMounts"][0];
    assert_eq!(
        *mount,
        json!({"name": "content-sync", "mountPath": "/srv/content", "readOnly": true})
    );
    assert_eq!(container(&pod, "web")["env"][0]["value"], "/srv/content/current");
    assert!(
        !pod.to_string().contains("GITSYNC_PASSWORD"),
        "a password without a Secret"
    );
}

#[test]
fn git_speaks_http_and_nothing_else_with_the_helpers_variables() {
    let Some(program) = program("git", "git") else { return };
    let pod = admit("content-sync", &[REPOSITORY]).unwrap();
    let helper = Container::prepare(&pod, "content-sync");
    for (url, scheme) in [
        ("ext::sh -c id", "ext"),
        ("file:///", "file"),
        ("/", "file"),
        ("ssh://127.0.0.1:1/x", "ssh"),
        ("git://127.0.0.1:1/x", "git"),
    ] {
        let output = helper.run(&program, "/", &["ls-remote", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(&format!("transport '{scheme}' not allowed")),
            "{url}: {said}"
        );
    }
    for url in ["http://127.0.0.1:1/x", "https://127.0.0.1:1/x"] {
        let output = helper.run(&program, "/", &["ls-remote", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !said.contains("not allowed") && said.contains("127.0.0.1"),
            "{url}: {said}"
        );
    }
}

/// Does with git what git-sync does, as far as checking out: a repository, and a worktree of a commit that holds a file and a symbolic
/// link. Returns the worktree, as a path of the container.
fn check_out(helper: &Container, program: &Path) -> String {
    // git-sync sets the first for itself: the directory is not its own.
    let settings = [
        "-c",
        "safe.directory=*",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.example",
    ];
    let run = |directory: &str, arguments: &[&str]| {
        let output = helper.run(program, directory, &[&settings, arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let root = helper.path(ROOT);
    run(ROOT, &["init", "--quiet"]);
    fs::write(root.join("index.html"), "hello").unwrap();
    run(ROOT, &["add", "index.html"]);
    // As a link in the repository, whatever the helper's variables say of links here.
    fs::write(root.join("target"), "/etc/passwd").unwrap();
    let blob = run(ROOT, &["hash-object", "-w", "target"]);
    run(
        ROOT,
        &["update-index", "--add", "--cacheinfo", &format!("120000,{blob},secret")],
    );
    run(ROOT, &["commit", "--quiet", "--message", "first"]);
    let hash = run(ROOT, &["rev-parse", "HEAD"]);
    let worktree = format!("{ROOT}/.worktrees/{hash}");
    run(
        ROOT,
        &[
            "worktree",
            "add",
            "--force",
            "--detach",
            &worktree,
            &hash,
            "--no-checkout",
        ],
    );
    run(&worktree, &["reset", "--hard", &hash, "--"]);
    worktree
}

#[test]
fn a_symbolic_link_of_the_repository_becomes_a_link_only_where_it_was_asked_for() {
    let Some(program) = program("git", "git") else { return };
    for (symlinks, expected) in [("false", false), ("true", true)] {
        let pod = admit("content-sync", &[REPOSITORY, ("symlinks", symlinks)]).unwrap();
        let helper = Container::prepare(&pod, "content-sync");
        let worktree = helper.path(&check_out(&helper, &program));
        assert_eq!(fs::read_to_string(worktree.join("index.html")).unwrap(), "hello");
        assert_eq!(worktree.join("secret").is_symlink(), expected, "symlinks: {symlinks}");
        assert!(expected || fs::read_to_string(worktree.join("secret")).unwrap() == "/etc/passwd");
    }
}

#[test]
fn the_startup_probe_waits_for_the_link_to_a_version() {
    let Some(program) = program("git", "git") else { return };
    let pod = admit("content-sync", &[REPOSITORY]).unwrap();
    let helper = Container::prepare(&pod, "content-sync");
    assert!(
        !helper.startup_probe(&program).status.success(),
        "the directory is empty"
    );
    let worktree = check_out(&helper, &program);
    assert!(
        !helper.startup_probe(&program).status.success(),
        "checked out, but not published"
    );
    let target = worktree.strip_prefix(&format!("{ROOT}/")).unwrap();
    symlink(target, helper.path(ROOT).join("current")).unwrap();
    let output = helper.startup_probe(&program);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
