//! What is read of a requirements file, and what is an error.

use super::*;
use crate::model::ExitCode;

const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn read(files: &[(&str, &str)]) -> Result<RequirementsTxt, RequirementsTxtError> {
    let variables = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    let mut open = |file: &str, _: Option<&Origin>| {
        let found = files.iter().find(|(name, _)| *name == file);
        Ok(found.unwrap_or_else(|| panic!("{file} is not there")).1.to_owned())
    };
    let locate = |name: &str| match name {
        "a/w/own-1.0-py3-none-any.whl" => Url::parse("file:///p/a/w/own-1.0-py3-none-any.whl").ok(),
        "a/w" => Url::parse("file:///p/a/w/").ok(),
        "a/lib" => Url::parse("file:///p/a/lib/").ok(),
        "" => Url::parse("file:///p/").ok(),
        _ => None,
    };
    read_requirements_txt(files[0].0, &mut open, &locate, &variables)
}

fn shown_requirements(requirements: &[Requirement]) -> Vec<String> {
    requirements.iter().map(|r| format!("{} {r}", r.origin)).collect()
}

#[test]
fn lines_are_joined_and_comments_removed_and_origins_kept() {
    let text = format!(
        "\u{feff}# head\r\n\r\nFoo_Bar [b,a] >= 1.0 , <2 ; python_version > '3.8' # why\n\
         baz==2.0 \\\n    --hash=sha256:{HEX} \\\n    --hash=sha512:00\n  # c \\\nname @ https://h.example/n-1-py3-none-any.whl#x\n"
    );
    let read = read(&[("r.txt", &text)]).unwrap();
    assert_eq!(
        shown_requirements(&read.requirements),
        [
            "r.txt:3 foo-bar[a,b]>=1.0,<2 ; python_full_version >= '3.9'",
            "r.txt:4 baz==2.0",
            "r.txt:8 name @ https://h.example/n-1-py3-none-any.whl#x",
        ]
    );
    assert_eq!(read.hashes[&"baz".parse().unwrap()], [Digest::from_hex(HEX).unwrap()]);
}

#[test]
fn files_include_others_relative_to_themselves() {
    let read = read(&[
        ("a/r.txt", "-r sub/more.txt\n-csub/../c.txt\nx\n--requirement=sub/more.txt"),
        ("a/sub/more.txt", "y>=1\n-c ../c.txt"),
        ("a/c.txt", "y<2\n-r ../z.txt"),
        ("z.txt", "z==3"),
    ])
    .unwrap();
    assert_eq!(shown_requirements(&read.requirements), ["a/sub/more.txt:1 y>=1", "a/r.txt:3 x"]);
    assert_eq!(shown_requirements(&read.constraints), ["a/c.txt:1 y<2", "z.txt:1 z==3"]);
}

#[test]
fn wheels_and_lists_of_links_may_be_in_the_project() {
    let text = "-f w\n--find-links=https://u:${TOKEN}@h.example/links.html\n--no-index --pre\n\
                ./w/own-1.0-py3-none-any.whl[x] ; python_version > '3.8' --hash=sha256:HEX\n";
    let read = read(&[("a/r.txt", &text.replace("HEX", HEX))]).unwrap();
    assert_eq!(
        shown_requirements(&read.requirements),
        ["a/r.txt:4 own[x] @ file:///p/a/w/own-1.0-py3-none-any.whl ; python_full_version >= '3.9'"]
    );
    assert_eq!(read.hashes.len(), 1);
    let links: Vec<&str> = read.find_links.iter().map(|(url, _)| url.path()).collect();
    assert_eq!((links, read.no_index, read.pre), (vec!["/p/a/w/", "/links.html"], true, true));
}

#[test]
fn sources_are_named_by_place_and_their_names_found_where_they_are_told() {
    let text = "git+https://h.example/own.git@v1#egg=Own_Lib&subdirectory=x\n\
        other[y] @ git+ssh://git@h.example/other@main ; python_version > '3.8'\n\
        https://h.example/third-1.0.tar.gz#sha256=0\n-e ./lib[z]\nfourth @ ./lib\n--editable=a/../lib\n";
    let pyproject = "[project]\nname = 'Lib'\n";
    let read = read(&[("a/r.txt", text), ("a/lib/pyproject.toml", pyproject)]).unwrap();
    assert_eq!(
        shown_requirements(&read.requirements),
        [
            "a/r.txt:1 own-lib @ git+https://h.example/own.git@v1#egg=Own_Lib&subdirectory=x",
            "a/r.txt:2 other[y] @ git+ssh://git@h.example/other@main ; python_full_version >= '3.9'",
            "a/r.txt:3 third @ https://h.example/third-1.0.tar.gz#sha256=0",
            "a/r.txt:4 lib[z] @ file:///p/a/lib/",
            "a/r.txt:5 fourth @ file:///p/a/lib/",
            "a/r.txt:6 lib @ file:///p/a/lib/",
        ]
    );
    assert_eq!(read.editables.len(), 2);
}

#[test]
fn repositories_that_cannot_be_read_name_the_package_and_the_choices() {
    let error = read(&[("r.txt", "own @ hg+https://u:p4ss@h.example/own@main")]).err().unwrap();
    assert_eq!(error.to_string(), "r.txt:1: `own` comes from a hg repository, which cannot be read");
    assert_eq!(error.exit_code(), ExitCode::NoResolution);
    assert!(error.hint().unwrap().contains("own @ https://"));
}

#[test]
fn cycles_and_endless_nesting_are_errors() {
    let error = read(&[("r.txt", "-r s.txt"), ("s.txt", "\n-r ./r.txt")]).err().unwrap();
    assert_eq!(error.to_string(), "s.txt:2: `r.txt` includes itself");
    let files: Vec<(String, String)> = (0..100).map(|n| (format!("{n}"), format!("-r {}", n + 1))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    assert!(matches!(read(&files), Err(RequirementsTxtError::TooDeep { .. })));
}

#[test]
fn variables_are_replaced_in_urls_and_never_shown() {
    let read_line = |line: &str| read(&[("r.txt", line)]);
    let found = read_line("--extra-index-url https://u:${TOKEN}@h.example/simple").unwrap();
    assert_eq!(found.extra_index_urls[0].0.password(), Some("s3cret"));
    // Git may have it.
    let found = read_line("git+https://u:${TOKEN}@h.example/x#egg=x").unwrap();
    assert_eq!(found.requirements[0].to_string(), "x @ git+https://h.example/x#egg=x");
    assert_eq!(found.requirements[0].credentials.as_ref().unwrap().password, "s3cret");
    for bad in [
        "x @ https://${TOKEN}@h.example/x-1-py3-none-any.whl",
        "x @ https://h.example/x-1-py3-none-any.whl?t=${TOKEN}",
        "x @ https://h.example:${TOKEN}/x.whl",
        "-i ${TOKEN}://u:p4ss@h.example",
        "-i https://u:p4ss@h.example:x/",
        "x @ https://u:p4ss@h.example/x.whl",
        "x @ git+https://u:p4ss@h.example/x",
        "x @ git+ssh://git:p4ss@h.example/x",
        "x @ https://u:p4ss@h.example:x/x.whl",
        "x @ https://${NO}@h.example/x.whl",
    ] {
        let error = read_line(bad).err().unwrap();
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(!text.contains("s3cret") && !text.contains("p4ss"), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_line() {
    for line in [
        "-e .",
        "--editable=.",
        ".",
        "--require-hashes",
        "https://h.example/x.whl",
        "https://h.example/v1.0.zip",
        "git+https://h.example/x",
        "hg+https://h.example/x",
        "x @ ftp://h.example/x.whl",
        "x --global-option=y",
    ] {
        let error = read(&[("r.txt", &format!("a\n\n{line}"))]).err().unwrap();
        assert!(matches!(error, RequirementsTxtError::Unsupported { .. }), "{line}: {error}");
        assert!(error.to_string().starts_with("r.txt:3: "), "{error}");
    }
}

#[test]
fn malformed_lines_are_errors() {
    for line in [
        "x==",
        "x y",
        "==1",
        "é==1é",
        "-r",
        "-i",
        "-r 'x",
        "-é",
        "x --hash=sha256:00",
        "x --hash=md5:00",
        "x --hash",
        "-i notaurl",
        "-f x",
        "./local",
        "-e dir/x",
        "x @ ./nothing",
        "../x.whl",
        "./x-1.0-py3-none-any.whl",
        "x; ((((python_version",
    ] {
        let error = read(&[("r.txt", line)]).err().unwrap_or_else(|| panic!("{line}"));
        assert!(error.to_string().starts_with("r.txt:1: "), "{error}");
    }
    let deep = format!("x; {}", "(".repeat(100_000));
    assert!(matches!(read(&[("r.txt", &deep)]), Err(RequirementsTxtError::Invalid { .. })));
    let error = read(&[("r.txt", "-c c.txt"), ("c.txt", "x[a]==1")]).err().unwrap();
    assert_eq!(error.to_string(), "c.txt:1: a constraint cannot have extras");
}
