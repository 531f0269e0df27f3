//! The page of `relto report` in a real browser: drawn, sorted, searched, by mouse and keyboard, in
//! light and dark, on a small screen, and with tens of thousands of jobs.
//!
//! `RELTO_TEST_SCREENSHOTS` names a directory to keep pictures in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fs_err as fs;
use relto::internals::report_page::{
    JobStep, JobTimings, KeyPairs, LinkTimings, Origin, TimeSpan, TimedAttempt, TimedStep, page,
};

use crate::support::chromium::{Chromium, Page, Viewport};
use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, feature};
use crate::support::skip::skip;

const LIGHT: Viewport = Viewport {
    width: 1280,
    height: 900,
    dark: false,
};
const DARK: Viewport = Viewport {
    dark: true,
    ..LIGHT
};
const NARROW: Viewport = Viewport {
    width: 400,
    height: 800,
    dark: false,
};

/// A module with such a name may come with any source tree.
const HOSTILE: &str = "<img src=x onerror=document.title='taken'>.o";

fn chromium() -> Option<Chromium> {
    let found = Chromium::start();
    if found.is_none() {
        skip("there is no Chromium");
    }
    found
}

fn keep_picture(page: &mut Page<'_>, name: &str) {
    let Some(dir) = std::env::var_os("RELTO_TEST_SCREENSHOTS") else {
        return;
    };
    let picture = BASE64_STANDARD.decode(page.screenshot()).expect("base64");
    let path = PathBuf::from(dir).join(name).with_extension("png");
    fs::write(path, picture).expect("written");
}

/// The page of a link of four modules, one of which has a hostile name.
fn page_of_a_link(dir: &Path) -> PathBuf {
    let home = Home::new();
    let program = feature(Feature::Plain);
    let link = Link::new(&program).argument(HOSTILE);
    let source = link.dir().join("more.c");
    fs::write(&source, "int more(int x) { return x * 5; }\n").expect("written");
    Llvm::get().thin_module(&source, &link.dir().join(HOSTILE));
    run(&mut link.command(&home));
    let path = dir.join("page.html");
    let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut relto);
    run(relto
        .current_dir(link.dir())
        .arg("report")
        .arg("-o")
        .arg(&path));
    path
}

/// The modules of the table, from above.
const MODULES: &str = "[...document.querySelectorAll('#rows th')].map(it => it.textContent).join()";

fn search(page: &mut Page<'_>, words: &str) {
    page.value(&format!(
        "(() => {{ const it = document.getElementById('search'); it.value = '{words}'; it.dispatchEvent(new Event('input')); }})()"
    ));
}

/// Headings and cells of numbers and places whose text is cut.
const CUT: &str = "[...document.querySelectorAll('#head th, #rows .number, #rows td:has(.swatch)')]\
    .filter(it => Math.max(it.scrollWidth, ...[...it.children].map(inner => inner.scrollWidth)) > it.clientWidth)\
    .map(it => it.textContent).join()";

/// Pixels of a canvas that are not empty. They are read from a copy, so that the page's own canvas
/// stays where it is drawn fastest.
fn drawn(page: &mut Page<'_>, canvas: &str) -> u64 {
    let pixels = page.value(&format!(
        "(() => {{ const it = document.getElementById('{canvas}'); \
         const copy = new OffscreenCanvas(it.width, it.height).getContext('2d', {{ willReadFrequently: true }}); \
         copy.drawImage(it, 0, 0); const all = copy.getImageData(0, 0, it.width, it.height).data; \
         let drawn = 0; for (let at = 3; at < all.length; at += 4) if (all[at]) drawn++; return drawn; }})()"
    ));
    pixels.as_u64().expect("a number")
}

#[test]
fn a_page_is_drawn_sorted_and_searched_without_a_complaint() {
    let Some(mut chromium) = chromium() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = page_of_a_link(dir.path());
    let mut page = chromium.open(&file, LIGHT);
    assert_eq!(page.text("document.documentElement.dataset.ready"), "true");
    assert_eq!(page.text("document.title"), "app - relto report");
    assert_eq!(
        page.text("document.getElementById('output').textContent"),
        "app"
    );
    for canvas in ["timeline", "overview"] {
        assert!(drawn(&mut page, canvas) > 2_000, "{canvas}");
    }
    assert_eq!(page.text(CUT), "", "cut");
    keep_picture(&mut page, "light");

    let click = |page: &mut Page<'_>, column: usize| {
        page.value(&format!(
            "document.querySelectorAll('#head button')[{column}].click()"
        ));
        page.text(&format!(
            "document.querySelectorAll('#head th')[{column}].ariaSort"
        ))
    };
    assert_eq!(click(&mut page, 0), "ascending");
    let ascending = page.text(MODULES);
    assert!(ascending.starts_with(HOSTILE), "{ascending}");
    assert_eq!(click(&mut page, 0), "descending");
    assert!(page.text(MODULES).ends_with(HOSTILE));
    assert_eq!(page.value("document.images.length"), 0, "names are text");

    search(&mut page, "thrice");
    page.wait_until("document.getElementById('count').textContent === '1 of 4 jobs'");
    assert_eq!(page.text(MODULES), "thrice.o");
    search(&mut page, "");
    page.wait_until("document.getElementById('count').textContent === '4 jobs'");
    page.value("document.querySelector('[data-place]').click()");
    assert_eq!(
        page.value("document.getElementById('filter').hidden"),
        false
    );
    page.value("document.getElementById('clear-filter').click()");

    for (viewport, name) in [(DARK, "dark"), (NARROW, "narrow")] {
        let before = page.text("getComputedStyle(document.body).backgroundColor");
        page.show_as(viewport);
        page.wait_until("new Promise(done => requestAnimationFrame(() => done(true)))");
        let after = page.text("getComputedStyle(document.body).backgroundColor");
        assert_ne!(before, after, "{name}");
        let width = page.value("document.documentElement.scrollWidth");
        assert!(
            width.as_u64() <= Some(viewport.width.into()),
            "{name}: {width}"
        );
        assert!(drawn(&mut page, "timeline") > 500, "{name}");
        assert_eq!(page.text(CUT), "", "{name}");
        keep_picture(&mut page, name);
    }
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}

#[test]
fn a_page_is_used_by_keyboard_and_mouse() {
    let Some(mut chromium) = chromium() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = page_of_a_link(dir.path());
    let mut page = chromium.open(&file, LIGHT);
    page.value("document.querySelectorAll('#rows button')[0].focus()");
    page.press("ArrowDown");
    let focused = "[...document.querySelectorAll('#rows button')].indexOf(document.activeElement)";
    assert_eq!(page.value(focused), 1);
    let module = page.text("document.activeElement.textContent");
    page.press("Enter");
    page.wait_until("!document.getElementById('job').hidden");
    let title = page.text("document.querySelector('#job h3').textContent");
    assert_eq!(title, module);
    let why = page.text("document.getElementById('job').textContent");
    assert!(
        why.contains("no earlier link of this output is recorded"),
        "{why}"
    );

    let picture = "document.getElementById('timeline').toDataURL()";
    let whole = page.text(picture);
    page.value("document.getElementById('lanes').focus()");
    page.press("+");
    page.wait_until(&format!("{picture} !== '{whole}'"));
    page.press("0");
    page.wait_until(&format!("{picture} === '{whole}'"));

    page.value("document.getElementById('job').hidden = true");
    page.value("document.getElementById('timeline').scrollIntoView({block: 'center'})");
    let at = |page: &mut Page<'_>, edge: &str| {
        let edge = page.value(&format!(
            "document.getElementById('timeline').getBoundingClientRect().{edge}"
        ));
        edge.as_f64().expect("a number")
    };
    // The last job of the first lane ends close to the right edge.
    let (right, top) = (at(&mut page, "right"), at(&mut page, "top"));
    let width = at(&mut page, "width");
    for part in [0.1, 0.2, 0.3, 0.4, 0.5] {
        page.click_at(right - part * width, top + 30.0);
    }
    page.wait_until("!document.getElementById('job').hidden");
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}

/// A link in which a farm of 500 slots compiles a third of the jobs.
fn large(jobs: u64) -> LinkTimings {
    let micros = Duration::from_micros;
    let job = |number: u64| {
        let planned = TimeSpan {
            start: micros(100 * number),
            end: micros(100 * number + 800),
        };
        let (origin, attempts) = match number % 3 {
            0 => {
                let start = micros(number / 1500 * 1_000_000 + number % 1500);
                let length = 400_000 + number * 7919 % 500_000;
                let end = start + micros(length);
                let starts = [
                    start,
                    start + micros(20_000),
                    start + micros(50_000),
                    start + micros(length - 9_000),
                ];
                let steps = [
                    JobStep::LookUp,
                    JobStep::Queue,
                    JobStep::Execute,
                    JobStep::Fetch,
                ];
                let steps = steps.into_iter().zip(starts);
                let attempt = TimedAttempt {
                    on_farm: true,
                    steps: steps
                        .map(|(step, start)| TimedStep { step, start })
                        .collect(),
                    end,
                    succeeded: true,
                };
                (Origin::Remote, vec![attempt])
            }
            _ => (Origin::DiskCache, Vec::new()),
        };
        let finished = attempts
            .first()
            .map_or(planned.end + micros(300), |it| it.end);
        JobTimings {
            module: format!("src/part{}/module_{number}.o", number % 61),
            key: Some(number.to_le_bytes()),
            planned,
            origin: Some(origin),
            finished,
            attempts,
            input_bytes: number * 31,
            output_bytes: number * 17,
            ..JobTimings::default()
        }
    };
    LinkTimings {
        output: "browser".to_owned(),
        duration: Duration::from_secs(25),
        succeeded: true,
        jobs: (0..jobs).map(job).collect(),
        ..LinkTimings::default()
    }
}

#[test]
fn thirty_thousand_jobs_open_within_two_seconds_and_scroll_smoothly() {
    let Some(mut chromium) = chromium() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("page.html");
    let text = page(&large(30_000), None, &KeyPairs::default());
    assert!(text.len() < 8 << 20, "{} bytes", text.len());
    fs::write(&file, text).expect("written");
    // The machine may have other things to do at the moment.
    let loaded = (0..3).map(|_| {
        let mut page = chromium.open(&file, LIGHT);
        let loaded = page.value("performance.getEntriesByType('navigation')[0].loadEventEnd");
        loaded.as_f64().expect("a number")
    });
    let loaded = loaded.fold(f64::INFINITY, f64::min);
    assert!(loaded < 2_000.0, "{loaded} ms");
    let mut page = chromium.open(&file, LIGHT);
    assert_eq!(
        page.text("document.getElementById('count').textContent"),
        "30,000 jobs"
    );
    let rows = page.value("document.querySelectorAll('#rows tr').length");
    assert!(rows.as_u64() < Some(100), "{rows} rows exist");
    let frame = page.value(
        "new Promise(done => { const it = document.getElementById('scroller'), times = []; let last = performance.now(); \
         const next = () => { const now = performance.now(); times.push(now - last); last = now; it.scrollTop += 3000; \
         document.getElementById(times.length % 2 ? 'zoom-in' : 'zoom-out').click(); \
         if (times.length < 80) requestAnimationFrame(next); else done(times.sort((a, b) => a - b)[20]); }; requestAnimationFrame(next); })",
    );
    assert!(frame.as_f64() < Some(50.0), "{frame} ms a frame");
    page.value("document.getElementById('scroller').scrollTop = 1e9");
    page.wait_until(
        "document.querySelector('#rows tr:last-child').getAttribute('aria-rowindex') === '30001'",
    );
    search(&mut page, "module_29999");
    page.wait_until("document.getElementById('count').textContent === '1 of 30,000 jobs'");
    keep_picture(&mut page, "large");
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}
