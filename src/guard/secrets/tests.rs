//! What must be masked and what must not, one line each. The secrets are made up here, out of parts, so that
//! no scanner takes this file for a leak.

use proptest::prelude::*;

use super::mask;

/// `{a36}`: 36 letters and digits; `{h64}` lower hex; `{u20}` base32; `{w86}` base64url.
fn filled(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let after = &rest[open + 1..];
        let Some((kind, len)) = after.find('}').and_then(|close| {
            let kind = after.as_bytes()[0];
            Some((kind, after[1..close].parse::<usize>().ok()?))
        }) else {
            out.push_str(&rest[..=open]);
            rest = after;
            continue;
        };
        let alphabet: &[u8] = match kind {
            b'h' => b"0f1e2d3c4b5a6978",
            b'u' => b"QW2ERTY3UIOP4ASD5FGH6JKL7ZXCVBNM",
            b'w' => b"aZ0-bY1_cX2dW3eV4fU5gT6hS7iR8jQ9kP",
            _ => b"q0W1e2R3t4Y5u6I7o8P9aSdFgHjKlZxCvBnM",
        };
        out.push_str(&rest[..open]);
        out.extend((0..len).map(|n| char::from(alphabet[(n * 7 + n / alphabet.len()) % alphabet.len()])));
        rest = &after[after.find('}').unwrap() + 1..];
    }
    out + rest
}

/// A text, the name of what is masked, and a part that must be gone.
const MUST: &[(&str, &str, &str)] = &[
    ("aws AKIA{u16} in eu-west-1", "AWS access key", "AKIA{u16}"),
    ("(ASIA{u16})", "AWS access key", "ASIA{u16}"),
    ("AWS_SECRET_ACCESS_KEY={a40}", "AWS secret key", "{a40}"),
    ("aws_secret_access_key = {a40}\nregion=x", "AWS secret key", "{a40}"),
    ("\"SecretAccessKey\": \"{a20}/+{a18}\"", "AWS secret key", "{a18}"),
    ("token ghp_{a36}.", "GitHub token", "{a36}"),
    ("gho_{a36} ghu_{a36}", "GitHub token", "{a36}"),
    ("ghs_{a36}", "GitHub token", "{a36}"),
    ("github_pat_{a22}_{a59}", "GitHub token", "{a59}"),
    ("https://x-access-token:ghs_{a36}@github.com/a/b", "password in a URL", "{a36}"),
    ("https://ghp_{a36}@github.com/a/b", "GitHub token", "{a36}"),
    ("glpat-{w20}", "GitLab token", "{w20}"),
    ("glrt-{w20}", "GitLab token", "{w20}"),
    ("OPENAI=sk-{a48}", "OpenAI key", "{a48}"),
    ("sk-proj-{w74}", "OpenAI key", "{w74}"),
    ("sk-ant-api03-{w86}-{w6}AA", "Anthropic key", "{w86}"),
    ("sk-ant-oat01-{w86}", "Anthropic key", "{w86}"),
    ("sk-or-v1-{h64}", "OpenRouter key", "{h64}"),
    ("xoxb-123456789012-123456789012-{a24}", "Slack token", "{a24}"),
    ("xapp-1-A012345-123456-{h64}", "Slack token", "{h64}"),
    ("https://hooks.slack.com/services/T00000001/B00000002/{a24}", "Slack webhook", "{a24}"),
    ("https://discord.com/api/webhooks/123456789012345678/{w68}", "Discord webhook", "{w68}"),
    ("maps AIza{w35}", "Google API key", "{w35}"),
    ("ya29.{w60}", "Google access token", "{w60}"),
    ("GOCSPX-{w28}", "Google client secret", "{w28}"),
    ("sk_live_{a24} rk_test_{a24}", "Stripe key", "{a24}"),
    ("whsec_{a32}", "webhook secret", "{a32}"),
    ("npm_{a36}", "npm token", "{a36}"),
    ("pypi-AgEIcHlwaS5vcmc{w80}", "PyPI token", "{w80}"),
    ("hf_{a34}", "Hugging Face token", "{a34}"),
    ("dop_v1_{h64}", "DigitalOcean token", "{h64}"),
    ("shpat_{h32}", "Shopify token", "{h32}"),
    ("SG.{w22}.{w43}", "SendGrid key", "{w43}"),
    ("hvs.{w90}", "Vault token", "{w90}"),
    ("dckr_pat_{w27}", "Docker token", "{w27}"),
    ("lin_api_{a40}", "Linear key", "{a40}"),
    ("gsk_{a52}", "Groq key", "{a52}"),
    ("bot 123456789:AA{w33}", "Telegram token", "{w33}"),
    ("jwt eyJ{w33}.eyJ{w60}.{w43}", "JSON web token", "{w60}"),
    ("Authorization: Bearer {a40}", "authorization header", "{a40}"),
    ("-H \"Authorization: Bearer {w32}\"", "authorization header", "{w32}"),
    ("\"authorization\": \"Bearer {h32}\"", "authorization header", "{h32}"),
    ("Authorization: Basic dXNlcjpwYXNz", "authorization header", "dXNlcjpwYXNz"),
    ("authorization: token {h40}", "authorization header", "{h40}"),
    ("curl -H 'X: Bearer {a32}'", "authorization header", "{a32}"),
    ("Authorization: Bearer eyJ{w33}.eyJ{w60}.{w43}", "JSON web token", "{w60}"),
    ("postgres://admin:s3cr3t@db:5432/app", "password in a URL", "s3cr3t"),
    ("postgresql+asyncpg://u:secret@h/db", "password in a URL", "secret"),
    ("redis://:hunter2@cache:6379/0", "password in a URL", "hunter2"),
    ("mongodb+srv://u:p@ss@cluster0.example.net/x", "password in a URL", "p@ss"),
    ("amqp://u:pa/ss@h/vhost", "password in a URL", "pa/ss"),
    ("DATABASE_URL=mysql://root:111@localhost:6001/memoria", "password in a URL", "111"),
    ("DB_PASSWORD=swordfish", "password", "swordfish"),
    ("export PGPASSWORD='correct-horse'", "password", "correct-horse"),
    ("mysql --password=hunter2 -u root", "password", "hunter2"),
    ("Server=db;Uid=sa;Password=Tr0ub4dor;", "password", "Tr0ub4dor"),
    ("password=hunter2!", "password", "hunter2"),
    ("password: \"hunter2\"", "password", "hunter2"),
    ("{\"user\": \"a\", \"password\": \"hunter2\"}", "password", "hunter2"),
    ("spring.datasource.password: S3cret!pass\n", "password", "S3cret"),
    ("client_secret = \"{a32}\"", "secret", "{a32}"),
    ("api_key: {a32}\nnext: 1", "API key", "{a32}"),
    ("?access_token={a32}&x=1", "token", "{a32}"),
    ("x-api-key: {a40}", "API key", "{a40}"),
    ("AccountKey={a86}==;EndpointSuffix=core.windows.net", "secret", "{a86}"),
    ("{\\\"password\\\":\\\"hunter2\\\"}", "password", "hunter2"),
    ("//registry.example/:_authToken={a36}", "token", "{a36}"),
    ("ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "GitHub token", "aaaa"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY", "AWS secret key", "bPxRfi"),
    ("passwd: s3cr3t", "password", "s3cr3t"),
    ("API_KEY=ghp_{a36}", "GitHub token", "{a36}"),
    ("escaped \\nghp_{a36}\\n", "GitHub token", "{a36}"),
    ("-----BEGIN RSA PRIVATE KEY-----\n{a64}\n{a64}\n-----END RSA PRIVATE KEY-----\nafter", "private key", "{a64}"),
    ("-----BEGIN PRIVATE KEY-----\n{a64}\n-----END PRIVATE KEY-----", "private key", "{a64}"),
    ("-----BEGIN EC PRIVATE KEY-----\n{a64}\n-----END EC PRIVATE KEY-----", "private key", "{a64}"),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{a64}\n-----END ENCRYPTED PRIVATE KEY-----", "private key", "{a64}"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\n{a70}\n-----END OPENSSH PRIVATE KEY-----", "private key", "{a70}"),
    (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{a64}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        "private key",
        "{a64}",
    ),
    ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{a64}\n{a64}", "private key", "{a64}"),
    ("\"-----BEGIN PRIVATE KEY-----\\n{a64}\\n{a64}\\n\", \"x\": 1", "private key", "{a64}"),
];

const MUST_NOT: &[&str] = &[
    "",
    "password: in the vault",
    "The password is in 1Password; ask Ana.",
    "Password: required, 12 characters",
    "we use bearer authentication",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    "Authorization: Basic auth is off",
    "send the token in the Authorization header",
    "token: expired after 3600 seconds",
    "max_tokens=4096",
    "tokens: 128000",
    "password=os.environ[\"DB_PASSWORD\"]",
    "password=args.password",
    "password = getpass.getpass()",
    "if password == expected:",
    "DB_PASSWORD=${DB_PASSWORD}",
    "DB_PASSWORD=<your password>",
    "password: {{ vault_password }}",
    "password=null",
    "<input type=\"password\" name=\"password\">",
    "let token = lexer.next_token();",
    "std::env::var(\"API_KEY\")",
    "secret: my-app-tls",
    "api_key: str = Field(...)",
    "hash passwords with password: argon2id",
    "nextPageToken=CAESBgoEQWJjZDEyMzQ1Njc4OTA",
    "1790000000 1790000000123 2026-11-23T01:02:03.456Z",
    "commit 4c32486f0b1d2e3a4c5b6978695a4b3c2d1e0f12 on main",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "sk-learn and scikit-learn; task-force-alpha-bravo-charlie-delta-echo",
    "desk-{a40}",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "sk-...",
    "AKIA is how AWS access keys start",
    "AKIA{u17}",
    "npm_config_registry=https://registry.npmjs.org/",
    "https://example.com:8080/path?user=a@b.c",
    "postgres://user@localhost/db",
    "postgres://user:$PGPASSWORD@localhost/db",
    "postgres://user:<password>@localhost/db",
    "ssh://git@github.com:22/a/b",
    "git@github.com:a/b.git",
    "see a:b@c and C:\\dir\\file",
    "-----BEGIN CERTIFICATE-----\n{a64}\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\n{a64}\n-----END PUBLIC KEY-----",
    "a line of dashes -----",
    "eyJ is how a JSON web token starts",
    "eyJhbGciOiJIUzI1NiJ9",
    "hf_hub_download(repo_id)",
    "key = value, primary_key=user_id_1234567890",
    "密码: 在保险库里",
    "https://hooks.slack.com/services/",
    "xoxb- tokens are for bots",
    "[masked: GitHub token]",
    "password: [masked: password]",
];

#[test]
fn secrets_are_masked_and_named() {
    for (template, what, gone) in MUST {
        let (text, gone) = (filled(template), filled(gone));
        let (masked, found) = mask(&text);
        assert!(!masked.contains(&gone), "{text:?} -> {masked:?}");
        assert!(masked.contains(&format!("[masked: {what}]")), "{text:?} -> {masked:?}");
        assert!(found.iter().any(|masked| masked.what == *what), "{text:?}: {found:?}");
        assert_eq!(mask(&masked).0, masked, "{text:?}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for template in MUST_NOT {
        let text = filled(template);
        assert_eq!(mask(&text), (text.as_str().into(), Vec::new()));
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    let text = filled("before postgres://admin:s3cr3t@db:5432/app and ghp_{a36}, ghp_{a36}; after");
    let (masked, found) = mask(&text);
    assert_eq!(
        masked,
        "before postgres://admin:[masked: password in a URL]@db:5432/app and [masked: GitHub token], \
         [masked: GitHub token]; after"
    );
    assert_eq!(found.len(), 3);
    for mark in &found {
        assert!(masked[mark.at..].starts_with(&format!("[masked: {}]", mark.what)), "{mark:?}");
    }
    let (masked, _) = mask("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nThe rest is prose.");
    assert!(masked.ends_with("The rest is prose."), "{masked}");
}

#[test]
fn a_hostile_text_of_64_kib_is_scanned_once() {
    for part in [
        "a://",
        "a-",
        "eyJ-",
        "eyJa.eyJ",
        "xoxb-",
        "AIza-",
        "-----BEGIN PRIVATE KEY-----",
        "password=",
        "token=a1B2",
        "Authorization: ",
        "bearer ",
        "sk-ant-",
        "-",
        "=",
        "\\n",
        "a.",
        "http://a:",
        "12345678:AA",
        "password: \"",
    ] {
        let text = part.repeat(64 * 1024 / part.len());
        // Quadratic work would take minutes here; a limit on time would fail on a busy machine.
        let (masked, _) = mask(&text);
        assert!(masked.len() <= text.len() * 4, "{part:?}");
    }
}

/// Parts that together come near to secrets.
fn fragments() -> impl Strategy<Value = String> {
    let parts = [
        "password",
        "PASSWORD",
        "_KEY",
        "token",
        "=",
        ": ",
        ":",
        "\"",
        "'",
        " ",
        "\n",
        "\\n",
        "@",
        "://",
        "/",
        "-",
        ".",
        ";",
        "AKIA",
        "ghp_",
        "sk-",
        "eyJ",
        "Bearer ",
        "Authorization",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END ",
        "[masked: ",
        "]",
        "a1B2c3D4e5F6g7H8i9J0",
        "hunter2!",
        "0f1e2d3c4b5a69780f1e2d3c4b5a6978",
        "é",
        "密",
        "\u{200b}",
        "$",
        "<",
        "{",
        "==",
        "ABCDEFGH234567IJ",
        "postgres",
        "x",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40).prop_map(|parts| parts.concat())
}

#[test]
fn a_secret_right_behind_another_is_masked_too() {
    let text = "AKIAABCDEFGH234567IJghp_a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8i9J0";
    assert_eq!(mask(text).0, "[masked: AWS access key][masked: GitHub token]");
}

proptest! {
    #[test]
    fn any_text_is_masked_once_and_for_all(text in "\\PC{0,300}") {
        let masked = mask(&text).0.into_owned();
        prop_assert_eq!(mask(&masked).0, masked.as_str());
    }

    /// However many passes it took.
    #[test]
    fn every_mark_stands_where_its_placeholder_does(text in fragments()) {
        let (masked, marks) = mask(&text);
        prop_assert!(marks.windows(2).all(|pair| pair[0].at < pair[1].at));
        for mark in &marks {
            let placeholder = format!("[masked: {}]", mark.what);
            prop_assert!(masked[mark.at..].starts_with(&placeholder));
        }
        let placeholders = |text: &str| text.matches("[masked: ").count();
        prop_assert!(marks.len() + placeholders(&text) >= placeholders(&masked));
    }

    #[test]
    fn near_secrets_are_masked_once_and_for_all(text in fragments()) {
        let masked = mask(&text).0.into_owned();
        prop_assert_eq!(mask(&masked).0, masked.as_str());
    }
}
