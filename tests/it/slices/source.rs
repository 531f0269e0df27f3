//! Random programs, and edits of them.
//!
//! A program consists of modules in C++, a module of functions. A function is one of [`FORMS`] with
//! a number; an edit changes one thing of one module. Everything follows from a seed.

use std::fmt::Write as _;

use super::figures::Construct;

/// Numbers that follow from a seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).expect("below a usize")
    }
}

/// Bodies of functions. `$V` is the function's number, `$N` a number that is unique in the program,
/// `$H` a local function of the module, `$A` a function of another module, `$M` the module. Those
/// from [`FORMS_OF_C`] on are C++.
const FORMS: [(Construct, &str); 29] = [
    (Construct::Calls, "return $H(x) + $V;"),
    (Construct::Linkage, "counter += x; return counter * $V;"),
    (Construct::Constants, "return names[x & 1][0] + $V;"),
    (Construct::Constants, "return table[x & 1](x) ^ $V;"),
    (Construct::ThreadLocals, "tls += $V; return tls + x;"),
    (
        Construct::InlineAssembly,
        "int r = x; asm volatile(\"# form $V\" : \"+r\"(r)); return r;",
    ),
    (
        Construct::BlockAddresses,
        "again: void *p = &&again; asm volatile(\"\" : : \"r\"(p)); return x + $V;",
    ),
    (
        Construct::BlockAddresses,
        "static void *const to[] = {&&one, &&two}; goto *to[x & 1]; one: return $V; two: return x;",
    ),
    (
        Construct::Constants,
        "switch (x) { case 1: return $V; case 2: return 7; case 5: return $H(x); case 9: return 3; default: return 0; }",
    ),
    (
        Construct::Metadata,
        "int s = 0; for (int i = 0; i < x; i++) s += numbers[i & 7] * $V; return s;",
    ),
    (
        Construct::Metadata,
        "int a[4] = {x, 1, 2, $V}; scale(a, numbers); return a[3];",
    ),
    (
        Construct::Types,
        "double d = x * 1.5; return (int)(d * $V.25);",
    ),
    (
        Construct::Types,
        "typedef int v4 __attribute__((vector_size(16))); v4 v = {x, 1, 2, $V}; v = v * v; return v[0] + v[3];",
    ),
    (
        Construct::Types,
        "return __atomic_fetch_add(&counter, $V, __ATOMIC_ACQ_REL) + x;",
    ),
    (
        Construct::Types,
        "int e = $V; __atomic_compare_exchange_n(&counter, &e, x, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); return e;",
    ),
    (
        Construct::Types,
        "const struct Big big = {{$V, 2, 3, 4, 5, 6}, \"b$V\"}; return take(&big) + x;",
    ),
    (Construct::Calls, "return sum(2, x, $V);"),
    (Construct::Calls, "return $A(x) * $V;"),
    (Construct::Aliases, "return nick_$M(x) + $V;"),
    (Construct::Linkage, "return placed + $V + x;"),
    (Construct::Ifuncs, "return chosen_$M(x) + $V;"),
    (
        Construct::InlineAssembly,
        "if (x & 1) { counter += $V; return fence(x) * $V; } return fence(x);",
    ),
    (
        Construct::Exceptions,
        "try { return $A(x); } catch (int e) { return e + $V; }",
    ),
    (Construct::Exceptions, "if (x == $V) throw x; return x;"),
    (
        Construct::Exceptions,
        "try { return $A(x); } catch (Fault &f) { return f.x + $V; }",
    ),
    (
        Construct::Exceptions,
        "if (x == $V) throw Fault{x}; return x;",
    ),
    (
        Construct::Exceptions,
        "struct Guard { ~Guard() { counter++; } } guard; return $A(x) + $V;",
    ),
    (
        Construct::Vtables,
        "Derived d; Base *b = &d; asm volatile(\"\" : \"+r\"(b)); return b->run(x) + $V;",
    ),
    (Construct::Comdats, "return tmpl<$V % 3>(x);"),
];

const FORMS_OF_C: usize = 22;
/// The form that calls a function of another module.
const CALL: usize = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cxx,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Cxx => "C++",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cxx => "cc",
        }
    }
}

#[derive(Debug, Clone)]
struct Function {
    form: usize,
    value: usize,
    number: usize,
    target: usize,
    attribute: &'static str,
}

#[derive(Debug, Clone)]
struct Module {
    number: usize,
    functions: Vec<Function>,
    helpers: Vec<Function>,
    /// What the locals' names end with.
    suffix: usize,
    text: usize,
    extra: usize,
    alignment: usize,
    visibility: &'static str,
    /// Characters of a comment at the beginning: they move all inline assembly.
    comment: usize,
}

/// A program; its functions never vanish, so it always links.
#[derive(Debug, Clone)]
pub(crate) struct RandomProgram {
    language: Language,
    modules: Vec<Module>,
    next: usize,
}

impl RandomProgram {
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    pub(crate) fn new(random: &mut Random, language: Language, modules: usize) -> Self {
        let mut program = Self {
            language,
            modules: Vec::new(),
            next: 0,
        };
        for number in 0..modules {
            let mut module = Module {
                number,
                functions: Vec::new(),
                helpers: Vec::new(),
                suffix: 0,
                text: 0,
                extra: 0,
                alignment: 4,
                visibility: "default",
                comment: 0,
            };
            for _ in 0..5 {
                let function = program.function(random);
                module.functions.push(function);
            }
            for _ in 0..2 {
                let mut helper = program.function(random);
                helper.form = random.below(3);
                module.helpers.push(helper);
            }
            program.modules.push(module);
        }
        program
    }

    fn function(&mut self, random: &mut Random) -> Function {
        self.next += 1;
        let forms = match self.language {
            Language::C => FORMS_OF_C,
            Language::Cxx => FORMS.len(),
        };
        Function {
            // Modules import what they call.
            form: match random.below(5) {
                0..=2 => CALL,
                _ => random.below(forms),
            },
            value: random.below(90) + 2,
            number: self.next,
            target: random.below(1000),
            attribute: "",
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// Changes one thing. Returns the module, and what was done.
    #[expect(clippy::too_many_lines, reason = "a list of edits")]
    pub(crate) fn edit(&mut self, random: &mut Random) -> (usize, Construct) {
        let at = random.below(self.modules.len());
        let which = random.below(self.modules[at].functions.len());
        let value = random.below(90) + 2;
        let fresh = self.function(random);
        let module = &mut self.modules[at];
        let function = &mut module.functions[which];
        let done = match random.below(15) {
            0..=2 => {
                function.value = value;
                Construct::Constants
            }
            3 | 4 => {
                function.form = fresh.form;
                FORMS[fresh.form].0
            }
            5 => {
                module.functions.push(fresh);
                Construct::NewFunctions
            }
            6 => {
                module.helpers[which % 2].value = value;
                Construct::Constants
            }
            7 => {
                module.suffix += 1;
                Construct::RenamedLocals
            }
            8 => {
                module.text = value;
                Construct::Constants
            }
            9 => {
                module.extra += 1;
                Construct::Order
            }
            10 => {
                const ATTRIBUTES: [&str; 5] = [
                    "__attribute__((cold)) ",
                    "__attribute__((noinline)) ",
                    "__attribute__((hot)) ",
                    "__attribute__((always_inline)) inline ",
                    "",
                ];
                let attribute = ATTRIBUTES[value % ATTRIBUTES.len()];
                // An inline function would not be there for other modules.
                function.attribute = if attribute.ends_with("inline ") {
                    ""
                } else {
                    attribute
                };
                Construct::Attributes
            }
            11 if module.functions.len() > 5 => {
                module.functions.pop();
                Construct::RemovedFunctions
            }
            12 => {
                module.comment = value % 5;
                Construct::InlineAssembly
            }
            11 | 13 => {
                module.alignment = [4, 16, 64][value % 3];
                Construct::Linkage
            }
            _ => {
                module.visibility = ["default", "hidden", "protected"][value % 3];
                Construct::Linkage
            }
        };
        (at, done)
    }

    /// The text of a module.
    #[expect(clippy::too_many_lines, reason = "the text of a module")]
    pub(crate) fn text(&self, at: usize) -> String {
        let module = &self.modules[at];
        let (number, suffix) = (module.number, module.suffix);
        let mut out = String::new();
        let language = self.language;
        let mut line = |text: String| {
            let text = match language {
                Language::C => as_c(&text),
                Language::Cxx => text,
            };
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("/*{}*/", "-".repeat(module.comment)));
        // As if in a header: where modules begin with equally many characters, its assembly has one
        // location in all of them.
        line(
            "static inline __attribute__((always_inline)) int fence(int x) { \
             asm(\"# one\\n# two\" : \"+r\"(x)); asm volatile(\"# three\" : : \"r\"(x)); return x; }"
                .to_owned(),
        );
        for extra in 0..module.extra {
            line(format!(
                "extern \"C\" {{ int extra_{number}_{extra} = {extra}; }}"
            ));
        }
        for other in &self.modules {
            for function in &other.functions {
                line(format!(
                    "extern \"C\" int {}(int);",
                    Self::name(other, function)
                ));
            }
        }
        line(format!(
            "extern \"C\" int shared_variable_{};",
            (number + 1) % self.len()
        ));
        line(format!(
            "extern \"C\" {{ __attribute__((visibility(\"{}\"), aligned({}))) int shared_variable_{number} = {}; }}",
            module.visibility, module.alignment, module.text
        ));
        line(format!(
            "static int counter_{suffix} = {number};\n#define counter counter_{suffix}"
        ));
        line(format!(
            "static __thread int tls_{suffix};\n#define tls tls_{suffix}"
        ));
        line("static const int numbers[8] = {3, 1, 4, 1, 5, 9, 2, 6};".to_owned());
        line(format!(
            "static const char *const names[] = {{\"first {}\", \"second {number}\"}};",
            module.text
        ));
        line("static int placed __attribute__((section(\"mine\"))) = 1;".to_owned());
        line("struct Big { int a[6]; const char *text; };".to_owned());
        line("static __attribute__((noinline)) int take(const struct Big *b) { return b->a[2] + b->text[0]; }".to_owned());
        line("static __attribute__((noinline)) int sum(int n, ...) { __builtin_va_list l; __builtin_va_start(l, n); int s = 0; while (n--) s += __builtin_va_arg(l, int); __builtin_va_end(l); return s; }".to_owned());
        line("static void scale(int *__restrict a, const int *__restrict b) { for (int i = 0; i < 4; i++) a[i] *= b[i]; }".to_owned());
        if language == Language::Cxx {
            line(
                "template <int N> int tmpl(int x) { static int s = N; return s++ + x; }".to_owned(),
            );
            line("struct Base { virtual int run(int); virtual ~Base() {} };\ninline int Base::run(int x) { return x; }".to_owned());
            // Its type information has one name in all modules.
            line("namespace { struct Fault { int x; }; }".to_owned());
            line(format!(
                "namespace {{ struct Derived : Base {{ int run(int x) override {{ return x + {}; }} }}; }}",
                module.text
            ));
        }
        for (position, helper) in module.helpers.iter().enumerate() {
            let body = [
                "return x * $V;",
                "counter += $V; return x;",
                "return names[x & 1][1] ^ $V;",
            ][helper.form];
            line(format!(
                "static __attribute__((noinline)) int helper_{position}_{suffix}(int x) {{ {} }}",
                body.replace("$V", &helper.value.to_string())
            ));
        }
        line(format!(
            "static int (*const table[])(int) = {{helper_0_{suffix}, helper_1_{suffix}}};"
        ));
        line(format!(
            "extern \"C\" {{ __attribute__((visibility(\"hidden\"))) int base_{number}(int x) {{ return x + {}; }} int nick_{number}(int) __attribute__((alias(\"base_{number}\"))); }}",
            module.text
        ));
        line(format!(
            "extern \"C\" {{ static int pick_{number}(int x) {{ return x - {}; }} int (*resolve_{number}())(int) {{ return pick_{number}; }} int chosen_{number}(int) __attribute__((ifunc(\"resolve_{number}\"))); }}",
            module.text
        ));
        for function in &module.functions {
            line(format!(
                "extern \"C\" {}int {}(int x) {{ {} }}",
                function.attribute,
                Self::name(module, function),
                self.body(module, function)
            ));
        }
        line(format!(
            "extern \"C\" int reads_{number}(void) {{ return shared_variable_{}; }}",
            (number + 1) % self.len()
        ));
        if number == 0 {
            self.main(&mut out);
        }
        out
    }

    fn main(&self, out: &mut String) {
        out.push_str("int main(int c, char **v) { int s = 0;\n");
        for function in self.modules.iter().flat_map(|module| {
            let names = module.functions.iter();
            names.map(|function| Self::name(module, function))
        }) {
            let _ = writeln!(out, "s += {function}(c);");
        }
        out.push_str("return s; }\n");
    }

    fn body(&self, module: &Module, function: &Function) -> String {
        let other = (module.number + 1 + function.target % (self.len() - 1)) % self.len();
        let other = &self.modules[other];
        let target = &other.functions[function.target % 5];
        let body = FORMS[function.form].1;
        body.replace("$V", &function.value.to_string())
            .replace("$N", &function.number.to_string())
            .replace(
                "$H",
                &format!("helper_{}_{}", function.target % 2, module.suffix),
            )
            .replace("$A", &Self::name(other, target))
            .replace("$M", &module.number.to_string())
    }

    fn name(module: &Module, function: &Function) -> String {
        format!("api_{}_{}", module.number, function.number)
    }
}

/// A line of C++ as one of C.
fn as_c(line: &str) -> String {
    let block = line.strip_prefix("extern \"C\" { ");
    match block.and_then(|rest| rest.strip_suffix(" }")) {
        Some(inside) => inside.to_owned(),
        None => line.replacen("extern \"C\"", "extern", 1),
    }
}
