//! Plans for people: what each component asks for, what its images are made of, which files its code is.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::output::{size, title};
use crate::bake::{
    CodeLayer, ComponentReport, EnvironmentReport, ImageReport, LayerOrigin, LayerReport, OriginReport,
    PlatformReport, Report, RequestReport, Role, Transfer,
};

/// What the project's files ask for, component by component.
pub fn environments(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    let mut known: Vec<(&RequestReport, String)> = Vec::new();
    for component in &report.components {
        for request in &component.environments {
            let name = requester(report, component, request);
            text += &format!("\n{name}\n");
            if let Some((_, other)) = known.iter().find(|(known, _)| is_same(known, request)) {
                text += &format!("  the same environment as {other}\n");
            }
            text += &origins(&request.origins, "  ");
            if request.requirements.is_empty() && request.conda.is_empty() {
                text += "  no packages\n";
            }
            known.push((request, name));
        }
        if !component.variables.is_empty() {
            let names: Vec<&str> = component.variables.keys().map(String::as_str).collect();
            text += &format!("  variables {}\n", names.join(", "));
        }
    }
    text
}

fn requester(report: &Report, component: &ComponentReport, request: &RequestReport) -> String {
    let mut name = format!("{}/{}", component.kind, component.component);
    if component.project != report.project {
        name += &format!(" of {}", component.project);
    }
    if request.steps.is_empty() { name } else { format!("{name} (steps {})", request.steps.join(", ")) }
}

fn is_same(a: &RequestReport, b: &RequestReport) -> bool {
    (&a.python, &a.base, &a.requirements, &a.conda, &a.channels)
        == (&b.python, &b.base, &b.requirements, &b.conda, &b.channels)
}

/// What is asked for, and where: Python and base first.
fn origins(origins: &[OriginReport], indent: &str) -> String {
    let is_python = |text: &str| {
        text.strip_prefix("python").is_some_and(|rest| {
            !rest.starts_with(char::is_alphanumeric) && !rest.starts_with(['-', '_', '.', '['])
        })
    };
    let rank = |origin: &&OriginReport| match origin.requirement.as_str() {
        text if is_python(text) => 0,
        text if text.starts_with("base ") => 1,
        _ => 2,
    };
    let mut sorted: Vec<&OriginReport> = origins.iter().collect();
    sorted.sort_by_key(rank);
    let shown: Vec<(String, String)> = sorted
        .into_iter()
        .map(|OriginReport { requirement, file, line }| {
            let requirement = match requirement.strip_prefix("python").filter(|_| is_python(requirement)) {
                Some(versions) => format!("Python {versions}"),
                None => requirement.clone(),
            };
            (requirement, line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
        })
        .collect();
    let width = shown.iter().map(|(requirement, _)| requirement.chars().count()).max().unwrap_or(0).min(60);
    shown.iter().map(|(requirement, place)| format!("{indent}{requirement:<width$}  {place}\n")).collect()
}

/// What each image would be made of, and what a build would do for all of them.
pub fn images(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for layer in report.images.iter().flat_map(|image| &image.platforms).flat_map(|platform| &platform.layers)
    {
        *shares.entry(identity(layer)).or_default() += 1;
    }
    for image in &report.images {
        text += &format!("\n{}\n", title(report, image));
        for platform in &image.platforms {
            let found = report.environments.iter().find(|environment| environment.id == platform.environment);
            match (told.get(platform.environment.as_str()), found) {
                (Some(other), _) => {
                    text += &format!("  environment {}: that of {other}\n", platform.environment);
                }
                (None, Some(environment)) => text += &described(environment),
                (None, None) => text += &format!("  environment {}\n", platform.environment),
            }
            told.entry(&platform.environment).or_insert_with(|| title(report, image));
            text += &layers(report, image, platform, &shares);
        }
    }
    // What is not baked: its environment is told all the same.
    for environment in
        report.environments.iter().filter(|environment| !told.contains_key(environment.id.as_str()))
    {
        text +=
            &format!("\n{}, without an image\n{}", environment.components.join(", "), described(environment));
    }
    if let Some(planned) = &report.planned {
        let about = if planned.exact { "" } else { "about " };
        let goes_nowhere = report
            .images
            .iter()
            .flat_map(|image| &image.platforms)
            .flat_map(|platform| &platform.layers)
            .all(|layer| layer.transfer == Transfer::None);
        let sent = if goes_nowhere {
            "no destination is named (--push, --output)".to_owned()
        } else {
            format!("it would send {about}{}", size(planned.upload_bytes))
        };
        text += &format!(
            "\na build would download {} distributions ({about}{}) and build {} layers; {sent}\n",
            planned.downloads,
            size(planned.download_bytes),
            planned.layers_to_build,
        );
    }
    text
}

/// An environment, and why it is as it is.
fn described(environment: &EnvironmentReport) -> String {
    let python = match (environment.kind, environment.python.as_str()) {
        ("conda", "") => "conda".to_owned(),
        ("conda", python) => format!("conda, Python {python}"),
        (_, python) => format!("Python {python}"),
    };
    let base = environment.base.as_ref().map(|base| format!(" on {base}")).unwrap_or_default();
    let mut text = format!("  environment {}: {python}{base}\n", environment.id);
    if !environment.channels.is_empty() {
        text += &format!("    channels {}\n", environment.channels.join(", "));
    }
    text + &origins(&environment.origins, "    ")
}

/// What tells a layer from others.
fn identity(layer: &LayerReport) -> &str {
    layer.key.as_deref().or(layer.digest.as_deref()).unwrap_or_default()
}

/// The layers of an image: those of the base in one line, each other in its own.
fn layers(
    report: &Report,
    image: &ImageReport,
    platform: &PlatformReport,
    shares: &BTreeMap<&str, usize>,
) -> String {
    let (base, own): (Vec<&LayerReport>, Vec<&LayerReport>) =
        platform.layers.iter().partition(|layer| layer.role == Role::Base);
    let code = own.iter().filter(|layer| layer.role == Role::Code).count();
    let mut text = format!("  {}, {} layers\n", platform.platform, platform.layers.len());
    let mut line = |role: &str, origin: &str, transfer: &str, bytes: &str, content: &str| {
        let line = format!("    {role:<12} {origin:<15} {transfer:<8} {bytes:>14}  {content}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    if let Some(first) = base.first() {
        let bytes = size(base.iter().filter_map(|layer| layer.size).sum());
        let same = base.iter().all(|layer| layer.transfer == first.transfer);
        let transfer = if same { moved(first.transfer) } else { "to send" };
        line("base", "is there", transfer, &bytes, &format!("{} layers", base.len()));
    }
    let mut seen = 0;
    for layer in own {
        let role = match layer.role {
            Role::Base => "base",
            Role::Interpreter => "interpreter",
            Role::Environment => "environment",
            Role::Code => "code",
        };
        let origin = match layer.origin {
            Some(LayerOrigin::Base) => "is there",
            Some(LayerOrigin::Store) => "in the store",
            Some(LayerOrigin::Registry) => "in the registry",
            Some(LayerOrigin::Built) | None => "to build",
        };
        let bytes = match (layer.size, layer.estimated_size) {
            (Some(bytes), _) => size(bytes),
            (None, Some(bytes)) => format!("about {}", size(bytes)),
            _ => String::new(),
        };
        let packages: Vec<String> =
            layer.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        let mut content = match layer.role {
            Role::Environment if packages.is_empty() => "links to the interpreter".to_owned(),
            Role::Code => {
                seen += 1;
                // The shared code comes first, where there is some.
                if seen < code {
                    "shared packages".to_owned()
                } else {
                    format!("code of {}/{}", image.kind, image.component)
                }
            }
            _ => packages.join(", "),
        };
        let images = shares.get(identity(layer)).copied().unwrap_or(1);
        if images > 1 && report.images.len() > 1 {
            content += &format!(" (in {images} images)");
        }
        line(role, origin, moved(layer.transfer), &bytes, &content);
    }
    text
}

fn moved(transfer: Transfer) -> &'static str {
    match transfer {
        Transfer::Uploaded => "to send",
        Transfer::Mounted => "to mount",
        Transfer::Present => "present",
        Transfer::None => "",
    }
}

/// The files of the code layers, and what is left out.
pub fn files(report: &Report) -> String {
    let mut text = format!("project {}\n", report.project);
    for code in report.code.iter().flatten() {
        text += &format!(
            "\ncode of {}/{}: {} files, {}\n",
            code.kind,
            code.component,
            code.files.len(),
            size(code.size)
        );
        for file in &code.files {
            let bytes = file.size.map(size).unwrap_or_default();
            let link = file.link.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
            let layer = match file.layer {
                CodeLayer::Shared => "shared",
                CodeLayer::Own => "own",
            };
            text += &format!("  {layer:<6} {bytes:>9}  /{}{link}\n", file.path);
        }
        for library in &code.libraries {
            text += &format!("  library {} from {} ({})\n", library.name, library.path, library.origin);
        }
        if !code.left_out.is_empty() {
            text += "  left out:\n";
        }
        let width = code.left_out.iter().map(|out| out.path.chars().count()).max().unwrap_or(0).min(60);
        for out in &code.left_out {
            text += &format!("    {:<width$}  {}\n", out.path, out.message);
        }
    }
    text
}
