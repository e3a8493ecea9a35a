//! Composing images: what is kept of the base, what is new, and that the same input gives the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use bakehouse::image::{Base, Error, Image, ImageSpec, Layer, MAX_LAYERS, MediaType, compose, image_index};
use bakehouse::model::{Arch, Digest, ExitCode, Platform};
use serde_json::{Value, json};

const AMD64: Platform = Platform { arch: Arch::Amd64 };
const ARM64: Platform = Platform { arch: Arch::Arm64 };

/// A base as Docker's tools write it, with what they leave behind.
fn base_config() -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-01T00:00:00Z",
        "docker_version": "20.10",
        "container": "0123",
        "container_config": {"Cmd": ["/bin/sh"]},
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"],
            "Cmd": ["python3"],
            "Entrypoint": ["/entry"],
            "WorkingDir": "/root",
            "User": null,
            "Labels": {"vendor": "mill", "org.opencontainers.image.title": "flour", "org.opencontainers.image.version": "1"},
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
            "OnBuild": ["RUN false"],
            "Image": "sha256:0123"
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"diff 0"), Digest::of(b"diff 1")]},
        "history": [
            {"created": "2024-05-01T00:00:00Z", "created_by": "ADD rootfs"},
            {"created_by": "ENV LANG", "empty_layer": true},
            {"created_by": "RUN install", "comment": "by hand"}
        ]
    })
}

fn base_layers() -> Value {
    json!([
        {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": Digest::of(b"blob 0"), "size": 10},
        {"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": Digest::of(b"blob 1"), "size": 20,
         "annotations": {"toc": "x", "a": "b"}}
    ])
}

fn parse(config: &Value, layers: &Value, platform: Platform) -> Result<Base, Error> {
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": Digest::of(config.as_bytes()),
            "size": config.len(),
        },
        "layers": layers,
    });
    Base::parse(manifest.to_string().as_bytes(), config.as_bytes(), platform)
}

fn base() -> Base {
    parse(&base_config(), &base_layers(), AMD64).unwrap()
}

fn layer(name: &str) -> Layer {
    Layer {
        digest: Digest::of(name.as_bytes()),
        diff_id: Digest::of(format!("diff of {name}").as_bytes()),
        size: name.len() as u64,
        media_type: MediaType::ImageLayerGzip,
        created_by: format!("environment {name}"),
        annotations: None,
    }
}

fn documents(image: &Image) -> (Value, Value) {
    let value = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
    (value(&image.config.bytes), value(&image.manifest.bytes))
}

fn config_of(spec: &ImageSpec<'_>) -> Value {
    documents(&compose(spec).unwrap()).0
}

#[test]
fn new_layers_stand_on_the_bases_in_all_three_lists() {
    let (base, layers) = (base(), [layer("numpy"), layer("code")]);
    let image = compose(&ImageSpec::new(&base, AMD64, &layers)).unwrap();
    let (config, manifest) = documents(&image);
    assert_eq!(
        config["rootfs"]["diff_ids"],
        json!([Digest::of(b"diff 0"), Digest::of(b"diff 1"), layers[0].diff_id, layers[1].diff_id])
    );
    assert_eq!(
        config["history"],
        json!([
            {"created": "2024-05-01T00:00:00Z", "created_by": "ADD rootfs"},
            {"created_by": "ENV LANG", "empty_layer": true},
            {"created_by": "RUN install", "comment": "by hand"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "bakehouse environment numpy"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "bakehouse environment code"},
        ])
    );
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": image.config.digest,
                "size": image.config.bytes.len(),
            },
            "layers": [
                {"mediaType": gzip, "digest": Digest::of(b"blob 0"), "size": 10},
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(b"blob 1"), "size": 20,
                 "annotations": {"a": "b", "toc": "x"}},
                {"mediaType": gzip, "digest": layers[0].digest, "size": 5},
                {"mediaType": gzip, "digest": layers[1].digest, "size": 4},
            ],
        })
    );
}

#[test]
fn what_is_not_said_is_as_the_base_has_it() {
    let base = base();
    let config = config_of(&ImageSpec::new(&base, AMD64, &[]));
    assert_eq!(
        config["config"],
        json!({
            "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"],
            "Cmd": ["python3"],
            "Entrypoint": ["/entry"],
            "WorkingDir": "/root",
            "Labels": {"vendor": "mill"},
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
        })
    );
    for leftover in ["docker_version", "container", "container_config"] {
        assert_eq!(config.get(leftover), None);
    }
}

#[test]
fn settings_are_set() {
    let base = base().named("registry.example/python:3.11", Digest::of(b"base"));
    let mut spec = ImageSpec::new(&base, AMD64, &[]);
    spec.env = [("LANG", "de"), ("VIRTUAL_ENV", "/opt/venv")].map(|(n, v)| (n.into(), v.into())).into();
    spec.path_prefix = Some("/opt/venv/bin".into());
    spec.working_dir = Some("/app".into());
    spec.user = Some("1000".into());
    spec.cmd = Some(vec!["python".into(), "flow.py".into()]);
    spec.labels = BTreeMap::from([("org.opencontainers.image.title".into(), "trainer".into())]);
    spec.exposed_ports = ["8000".to_owned()].into();
    spec.created = 1_700_000_000;
    let config = config_of(&spec);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(
        config["config"],
        json!({
            "Env": ["PATH=/opt/venv/bin:/usr/local/bin:/usr/bin", "LANG=de", "VIRTUAL_ENV=/opt/venv"],
            "Cmd": ["python", "flow.py"],
            "WorkingDir": "/app",
            "User": "1000",
            "Labels": {
                "vendor": "mill",
                "org.opencontainers.image.title": "trainer",
                "org.opencontainers.image.base.name": "registry.example/python:3.11",
                "org.opencontainers.image.base.digest": Digest::of(b"base"),
            },
            "ExposedPorts": {"80/tcp": {}, "8000/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
        })
    );
}

#[test]
fn a_command_runs_as_it_is_given_unless_an_entrypoint_is_named() {
    let base = base();
    let run = |entrypoint: Option<&[&str]>, cmd: Option<&[&str]>| {
        let words = |words: Option<&[&str]>| words.map(|w| w.iter().map(|&w| w.to_owned()).collect());
        let mut spec = ImageSpec::new(&base, AMD64, &[]);
        (spec.entrypoint, spec.cmd) = (words(entrypoint), words(cmd));
        let config = &config_of(&spec)["config"];
        (config["Entrypoint"].clone(), config["Cmd"].clone())
    };
    assert_eq!(run(None, None), (json!(["/entry"]), json!(["python3"])));
    assert_eq!(run(None, Some(&["serve"])), (Value::Null, json!(["serve"])));
    assert_eq!(run(Some(&["/entry"]), Some(&["serve"])), (json!(["/entry"]), json!(["serve"])));
    assert_eq!(run(Some(&["/other"]), None), (json!(["/other"]), Value::Null));
}

#[test]
fn the_path_is_complete_and_names_each_directory_once() {
    let path = |base: &Base| {
        let mut spec = ImageSpec::new(base, AMD64, &[]);
        spec.path_prefix = Some("/opt/venv/bin".into());
        config_of(&spec)["config"]["Env"][0].as_str().unwrap().to_owned()
    };
    let standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(path(&Base::scratch(AMD64)), format!("PATH=/opt/venv/bin:{standard}"));
    let mut config = base_config();
    config["config"]["Env"] = json!(["PATH=/bin:/opt/venv/bin", "PATHS=x", "PATH=/opt/venv/bin:/sbin"]);
    let base = parse(&config, &base_layers(), AMD64).unwrap();
    assert_eq!(path(&base), "PATH=/opt/venv/bin:/sbin", "the last of several counts");
}

#[test]
fn the_same_input_gives_the_same_bytes_whose_digests_are_pinned() {
    let (base, layers) = (base(), [layer("numpy")]);
    let mut spec = ImageSpec::new(&base, AMD64, &layers);
    for number in 0..20 {
        spec.labels.insert(format!("label {number}"), "x".into());
    }
    let image = compose(&spec).unwrap();
    assert_eq!(image, compose(&spec.clone()).unwrap());
    assert_eq!(
        (image.config.digest.hex().as_str(), image.manifest.digest.hex().as_str()),
        (
            "424f5bd0f71e2111050786eeec18ea1494537231f4236c7fdaee52442b89db02",
            "df40b055c36b873d301a5559589c251674cd09fa8d14bdb8dd0a1eb85ee5e148"
        )
    );
    let text = String::from_utf8(image.config.bytes).unwrap();
    assert!(text.find("label 0") < text.find("label 1") && text.find("label 19") < text.find("label 2"));
}

#[test]
fn a_history_that_does_not_fit_the_layers_is_made_anew() {
    for history in [Value::Null, json!([]), json!([{"created_by": "one"}]), json!([{}, {}, {}])] {
        let mut config = base_config();
        config["history"] = history;
        let (base, layers) = (parse(&config, &base_layers(), AMD64).unwrap(), [layer("numpy")]);
        let history = config_of(&ImageSpec::new(&base, AMD64, &layers))["history"].clone();
        assert_eq!(history.as_array().unwrap().len(), 3);
        assert_eq!(history[0]["created_by"], "bakehouse base");
    }
}

#[test]
fn a_base_must_make_sense() {
    let edited = |edit: &dyn Fn(&mut Value, &mut Value)| {
        let (mut config, mut layers) = (base_config(), base_layers());
        edit(&mut config, &mut layers);
        parse(&config, &layers, AMD64).map(drop)
    };
    edited(&|_, _| ()).unwrap();
    edited(&|config, _| config["config"] = Value::Null).unwrap();
    type Edit<'a> = &'a dyn Fn(&mut Value, &mut Value);
    let wrong: [Edit<'_>; 9] = [
        &|config, _| config["os"] = "windows".into(),
        &|config, _| config["architecture"] = "s390x".into(),
        &|config, _| config["rootfs"]["diff_ids"] = json!([]),
        &|config, _| config["rootfs"]["diff_ids"][0] = "sha256:0".into(),
        &|config, _| config["rootfs"]["type"] = "snapshots".into(),
        &|config, _| config["config"]["Env"] = json!([1]),
        &|_, layers| layers[0]["digest"] = format!("sha512:{}", "0".repeat(128)).into(),
        &|_, layers| {
            layers[0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into()
        },
        &|_, layers| layers[0]["mediaType"] = "text/plain".into(),
    ];
    for (number, edit) in wrong.iter().enumerate() {
        let error = edited(edit).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Project, "{number}: {error}");
    }
    assert!(matches!(parse(&base_config(), &base_layers(), ARM64), Err(Error::WrongPlatform { .. })));
    let chart = br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":1},"layers":[]}"#;
    assert!(matches!(Base::config_descriptor(chart), Err(Error::NotAnImage { .. })));
    assert!(matches!(Base::parse(b"{", b"{}", AMD64), Err(Error::Malformed { .. })));
}

#[test]
fn limits_and_settings_are_checked() {
    let base = base();
    let layers: Vec<Layer> = (0..MAX_LAYERS - 1).map(|number| layer(&number.to_string())).collect();
    assert!(compose(&ImageSpec::new(&base, AMD64, &layers[1..])).is_ok());
    let error = compose(&ImageSpec::new(&base, AMD64, &layers)).unwrap_err();
    assert!(matches!(error, Error::TooManyLayers { count: 126, base: 2, .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Project);

    let fails = |edit: &dyn Fn(&mut ImageSpec<'_>)| {
        let mut spec = ImageSpec::new(&base, AMD64, &[]);
        edit(&mut spec);
        compose(&spec).unwrap_err()
    };
    let settings: [&dyn Fn(&mut ImageSpec<'_>); 5] = [
        &|spec| spec.env = vec![("A=B".into(), "x".into())],
        &|spec| spec.env = vec![("A".into(), "\0".into())],
        &|spec| spec.working_dir = Some("app".into()),
        &|spec| spec.exposed_ports = ["http".to_owned()].into(),
        &|spec| spec.created = -1,
    ];
    for edit in settings {
        assert!(matches!(fails(edit), Error::Setting { .. }));
    }
    let large = fails(&|spec| drop(spec.labels.insert("readme".into(), "x".repeat(5_000_000))));
    assert!(matches!(large, Error::TooLarge { .. }), "{large}");
    assert!(matches!(fails(&|spec| spec.platform = ARM64), Error::WrongPlatform { .. }));
}

#[test]
fn an_index_lists_its_images_by_platform() {
    let images = [ARM64, AMD64].map(|platform| {
        let base = Base::scratch(platform);
        compose(&ImageSpec::new(&base, platform, &[])).unwrap()
    });
    let index = image_index(&images);
    let document: Value = serde_json::from_slice(&index.bytes).unwrap();
    assert_eq!(document["mediaType"], index.media_type.as_ref());
    assert_eq!(
        document["manifests"][0],
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": images[1].manifest.digest,
            "size": images[1].manifest.bytes.len(),
            "platform": {"architecture": "amd64", "os": "linux"},
        })
    );
    assert_eq!(document["manifests"][1]["platform"]["architecture"], "arm64");
}
