//! A C++ program without headers, big enough for the summary order of its shards to depend on
//! paths.
//!
//! It has what makes different summary records: templates and inline functions defined in many
//! modules, virtual calls, references to constants, aliases, static functions of one name in every
//! file.

use std::fmt::Write as _;

const PARTS: usize = 14;

/// File names and contents; the first has `main`.
pub(super) fn sources() -> Vec<(String, String)> {
    let parts = (0..PARTS).map(|part| (format!("part{part}.cpp"), source(part)));
    parts.collect()
}

const SHARED: &str = r"
struct Shape {
    virtual int area(int) const;
    virtual int edges() const { return 3; }
    virtual ~Shape();
};
template <int N> struct Table {
    int cells[N];
    int sum() const { int all = 0; for (int cell : cells) all += cell * N; return all; }
};
template <class T, int N> inline T power(T base) { T all = 1; for (int i = 0; i < N; ++i) all *= base; return all; }
inline int &counter() { static int value = 1; return value; }
";

fn source(part: usize) -> String {
    let mut text = SHARED.to_owned();
    for other in 0..PARTS {
        writeln!(
            text,
            "int work{other}(int, const Shape &); extern const int limits{other}[4];"
        )
        .expect("a string");
    }
    let class = format!("Shape{part}");
    let next = (part + 1) % PARTS;
    let third = (part * 5 + 3) % PARTS;
    let size = part % 5 + 2;
    write!(
        text,
        r#"
struct {class} : Shape {{ int area(int x) const override; int edges() const override {{ return {part}; }} ~{class}(); }};
{class}::~{class}() {{}}
int {class}::area(int x) const {{ return x * {part} + counter()++; }}
extern const int limits{part}[4] = {{ {part}, 1, 2, 3 }};
static int tables[16] = {{ 1, 2, 3 }};
static int helper(int x) {{ return x + tables[x & 15] + limits{next}[x & 3]; }}
__attribute__((noinline)) static int step(int x) {{ return helper(x) + power<int, {size}>(x); }}
extern "C" int exported{part}(int x) {{ tables[x & 15] = x; return step(x); }}
extern "C" int alias{part}(int x) __attribute__((alias("exported{part}")));
extern "C" int exported{next}(int);
__attribute__((noinline)) int fill(int *cells, int x);
__attribute__((noinline)) int reach{part}(int *cells, int x) {{ return cells[0] + fill(cells + 1, x); }}
int (*volatile chosen{part})(int) = exported{next};
int work{part}(int x, const Shape &shape) {{
    Table<{size}> table{{ {{ x, x + 1 }} }};
    {class} own;
    const Shape &chosen = x & 1 ? shape : own;
    int all = chosen.area(x) + chosen.edges() + table.sum() + alias{part}(x);
    int cells[3] = {{ x }};
    all += chosen{part}(x) + reach{part}(cells, x);
    return x > {part} * 100 ? all : all + work{next}(x + 1, own) + work{third}(x + 2, chosen) + limits{third}[1];
}}
"#
    )
    .expect("a string");
    for extra in 0..12 {
        let power = extra + 2;
        writeln!(
            text,
            "int extra{part}_{extra}(int x) {{ return power<long, {power}>(x) + limits{part}[{extra} & 3] + counter(); }}"
        )
        .expect("a string");
    }
    if part == 0 {
        text.push_str(MAIN);
    }
    text
}

const MAIN: &str = r"
int Shape::area(int x) const { return x; }
int fill(int *cells, int x) { cells[0] = x; return cells[1]; }
Shape::~Shape() {}
int main(int argc, char **) { Shape0 own; return work0(argc, own) + work3(argc, own) + extra0_1(argc); }
";
