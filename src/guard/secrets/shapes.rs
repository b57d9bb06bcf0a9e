//! Tokens that name themselves: a fixed prefix and a run of known length. To add one, add a row and two lines
//! in `tests.rs`. It never looks at what stands around a token.

use super::{Found, is_base64url, run};

/// Which bytes the rest of a token is made of.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// A–Z and 2–7.
    Base32,
    LowerHex,
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Url,
    /// The same with dots.
    Dotted,
    /// The same with dots and slashes: a path.
    Path,
    /// Of the standard alphabet, padding included.
    Base64,
}

impl Of {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Base32 => byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte),
            Self::LowerHex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => is_base64url(byte),
            Self::Dotted => is_base64url(byte) || byte == b'.',
            Self::Base64 => byte.is_ascii_alphanumeric() || b"+/=".contains(&byte),
            Self::Path => is_base64url(byte) || byte == b'.' || byte == b'/',
        }
    }
}

/// No upper limit; the first so many are judged.
const ANY: usize = 256;

/// Prefix, what follows, how many of it at least and at most (`ANY`: no limit), and what it is.
pub(super) const SHAPES: &[(&str, Of, usize, usize, &str)] = &[
    ("AKIA", Of::Base32, 16, 16, "AWS access key"),
    ("ASIA", Of::Base32, 16, 16, "AWS access key"),
    ("ABIA", Of::Base32, 16, 16, "AWS access key"),
    ("ghp_", Of::Alphanumeric, 36, ANY, "GitHub token"),
    ("gho_", Of::Alphanumeric, 36, ANY, "GitHub token"),
    ("ghu_", Of::Alphanumeric, 36, ANY, "GitHub token"),
    ("ghr_", Of::Alphanumeric, 36, ANY, "GitHub token"),
    ("ghs_", Of::Dotted, 36, ANY, "GitHub token"),
    ("github_pat_", Of::Url, 50, ANY, "GitHub token"),
    ("glpat-", Of::Dotted, 20, ANY, "GitLab token"),
    ("gldt-", Of::Url, 20, ANY, "GitLab token"),
    ("glrt-", Of::Dotted, 20, ANY, "GitLab token"),
    ("glptt-", Of::Url, 20, ANY, "GitLab token"),
    ("glcbt-", Of::Url, 20, ANY, "GitLab token"),
    ("glagent-", Of::Url, 20, ANY, "GitLab token"),
    ("gloas-", Of::Url, 20, ANY, "GitLab token"),
    ("glft-", Of::Url, 20, ANY, "GitLab token"),
    ("glimt-", Of::Url, 20, ANY, "GitLab token"),
    ("glsoat-", Of::Url, 20, ANY, "GitLab token"),
    ("glwt-", Of::Url, 20, ANY, "GitLab token"),
    ("glffct-", Of::Url, 20, ANY, "GitLab token"),
    ("GR1348941", Of::Url, 20, ANY, "GitLab token"),
    ("ABSK", Of::Base64, 100, ANY, "AWS Bedrock key"),
    ("sk-ant-", Of::Url, 32, ANY, "Anthropic key"),
    ("sk-or-v1-", Of::LowerHex, 64, 64, "OpenRouter key"),
    ("sk-proj-", Of::Url, 32, ANY, "OpenAI key"),
    ("sk-svcacct-", Of::Url, 32, ANY, "OpenAI key"),
    ("sk-admin-", Of::Url, 32, ANY, "OpenAI key"),
    ("sk-", Of::Alphanumeric, 32, ANY, "OpenAI key"),
    ("xoxb-", Of::Url, 20, ANY, "Slack token"),
    ("xoxp-", Of::Url, 20, ANY, "Slack token"),
    ("xoxa-", Of::Url, 20, ANY, "Slack token"),
    ("xoxr-", Of::Url, 20, ANY, "Slack token"),
    ("xoxs-", Of::Url, 20, ANY, "Slack token"),
    ("xoxc-", Of::Url, 20, ANY, "Slack token"),
    ("xoxd-", Of::Url, 20, ANY, "Slack token"),
    ("xoxe-", Of::Url, 20, ANY, "Slack token"),
    ("xoxe.xoxp-", Of::Url, 20, ANY, "Slack token"),
    ("xoxe.xoxb-", Of::Url, 20, ANY, "Slack token"),
    ("xapp-", Of::Url, 20, ANY, "Slack token"),
    ("hooks.slack.com/services/", Of::Path, 20, ANY, "Slack webhook"),
    ("hooks.slack.com/workflows/", Of::Path, 20, ANY, "Slack webhook"),
    ("hooks.slack.com/triggers/", Of::Path, 20, ANY, "Slack webhook"),
    ("discord.com/api/webhooks/", Of::Path, 60, ANY, "Discord webhook"),
    ("discordapp.com/api/webhooks/", Of::Path, 60, ANY, "Discord webhook"),
    ("AIza", Of::Url, 35, 35, "Google API key"),
    ("ya29.", Of::Dotted, 20, ANY, "Google access token"),
    ("1//0", Of::Url, 40, ANY, "Google refresh token"),
    ("GOCSPX-", Of::Url, 28, 28, "Google client secret"),
    ("sk_live_", Of::Alphanumeric, 16, ANY, "Stripe key"),
    ("sk_test_", Of::Alphanumeric, 16, ANY, "Stripe key"),
    ("rk_live_", Of::Alphanumeric, 16, ANY, "Stripe key"),
    ("rk_test_", Of::Alphanumeric, 16, ANY, "Stripe key"),
    ("whsec_", Of::Alphanumeric, 24, ANY, "webhook secret"),
    ("npm_", Of::Alphanumeric, 36, 36, "npm token"),
    ("pypi-AgE", Of::Url, 50, ANY, "PyPI token"),
    ("hf_", Of::Alphanumeric, 34, 40, "Hugging Face token"),
    ("dop_v1_", Of::LowerHex, 64, 64, "DigitalOcean token"),
    ("doo_v1_", Of::LowerHex, 64, 64, "DigitalOcean token"),
    ("dor_v1_", Of::LowerHex, 64, 64, "DigitalOcean token"),
    ("shpat_", Of::Alphanumeric, 32, 32, "Shopify token"),
    ("shpss_", Of::Alphanumeric, 32, 32, "Shopify token"),
    ("shppa_", Of::Alphanumeric, 32, 32, "Shopify token"),
    ("shpca_", Of::Alphanumeric, 32, 32, "Shopify token"),
    ("SG.", Of::Dotted, 66, 66, "SendGrid key"),
    ("hvs.", Of::Url, 24, ANY, "Vault token"),
    ("hvb.", Of::Url, 24, ANY, "Vault token"),
    ("AGE-SECRET-KEY-1", Of::Alphanumeric, 58, 58, "age secret key"),
    ("dckr_pat_", Of::Url, 27, 27, "Docker token"),
    ("lin_api_", Of::Alphanumeric, 40, 40, "Linear key"),
    ("ATATT3", Of::Url, 100, ANY, "Atlassian token"),
    ("dapi", Of::LowerHex, 32, 32, "Databricks token"),
    ("gsk_", Of::Alphanumeric, 48, 60, "Groq key"),
    ("xai-", Of::Alphanumeric, 70, 90, "xAI key"),
    ("pplx-", Of::Alphanumeric, 40, 60, "Perplexity key"),
    ("nvapi-", Of::Url, 60, 70, "NVIDIA key"),
    ("r8_", Of::Alphanumeric, 37, 37, "Replicate token"),
    ("tskey-", Of::Url, 20, ANY, "Tailscale key"),
    ("rubygems_", Of::LowerHex, 48, 48, "RubyGems key"),
    ("sbp_", Of::LowerHex, 40, 40, "Supabase token"),
    ("PMAK-", Of::Url, 59, 59, "Postman key"),
    ("ntn_", Of::Alphanumeric, 40, 50, "Notion token"),
    ("glsa_", Of::Url, 41, 41, "Grafana token"),
    ("pul-", Of::LowerHex, 40, 40, "Pulumi token"),
    ("dp.pt.", Of::Alphanumeric, 40, 44, "Doppler token"),
    ("sntrys_", Of::Base64, 60, ANY, "Sentry token"),
    ("sntryu_", Of::LowerHex, 64, 64, "Sentry token"),
    ("NRAK-", Of::Alphanumeric, 27, 27, "New Relic key"),
    ("HRKU-", Of::Url, 36, ANY, "Heroku key"),
    ("figd_", Of::Url, 40, ANY, "Figma token"),
    ("pscale_tkn_", Of::Dotted, 32, ANY, "PlanetScale token"),
    ("pscale_pw_", Of::Dotted, 32, ANY, "PlanetScale password"),
    ("nfp_", Of::Alphanumeric, 36, ANY, "Netlify token"),
    ("sq0atp-", Of::Url, 22, 22, "Square token"),
    ("sq0csp-", Of::Url, 43, 43, "Square secret"),
    ("key-", Of::LowerHex, 32, 32, "Mailgun key"),
    ("CFPAT-", Of::Url, 43, 43, "Contentful token"),
];

/// The token that starts here.
pub fn at(bytes: &[u8], at: usize) -> Option<Found> {
    let rest = &bytes[at..];
    SHAPES
        .iter()
        .filter(|(prefix, ..)| rest.starts_with(prefix.as_bytes()))
        .find_map(|(prefix, of, least, most, what)| {
            let start = at + prefix.len();
            // One more than the most tells a longer run, which is something else.
            let end = run(bytes, start, most.saturating_add(1), |byte| of.has(byte));
            let token = &bytes[start..end];
            let fits = token.len() >= *least && (token.len() <= *most || *most == ANY) && is_no_placeholder(token);
            if !fits {
                return None;
            }
            let end = run(bytes, end, usize::MAX, |byte| of.has(byte));
            // A sentence may end with a token.
            let end = start + trimmed(&bytes[start..end]).len();
            // Of a URL only the part that is secret goes.
            let from = if prefix.contains('/') { start } else { at };
            Some(Found { start: from, end, what })
        })
        .or_else(|| telegram(bytes, at))
        .or_else(|| azure(bytes, at))
}

/// An application's secret: three characters, a digit, `Q~`, and 31 to 34 more. They have dots, dashes and tildes.
fn azure(bytes: &[u8], at: usize) -> Option<Found> {
    let has = |byte: u8| is_base64url(byte) || byte == b'.' || byte == b'~';
    if !bytes.get(at + 3)?.is_ascii_digit() || bytes.get(at + 4..at + 6) != Some(b"Q~") {
        return None;
    }
    let end = at + trimmed(&bytes[at..run(bytes, at, 48, has)]).len();
    let is_whole = (37..=40).contains(&(end - at)) && bytes[at..at + 3].iter().all(|byte| has(*byte));
    is_whole.then_some(Found { start: at, end, what: "Azure client secret" })
}

fn trimmed(token: &[u8]) -> &[u8] {
    let kept = token.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    &token[..kept]
}

/// `xxxx…` and `0000…` stand for a secret.
fn is_no_placeholder(token: &[u8]) -> bool {
    token.iter().any(|byte| !b"xX0*._-".contains(byte))
}

/// A bot's number, a colon, and 35 characters.
fn telegram(bytes: &[u8], at: usize) -> Option<Found> {
    let colon = run(bytes, at, 11, |byte| byte.is_ascii_digit());
    if !(8..=10).contains(&(colon - at)) || !bytes[colon..].starts_with(b":AA") {
        return None;
    }
    let end = run(bytes, colon + 1, 36, is_base64url);
    (end - colon - 1 == 35).then_some(Found { start: at, end, what: "Telegram token" })
}

/// What no word looks like: letters and digits together, or both cases in the middle of a long one.
pub fn is_mixed(token: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| token.iter().any(test);
    let switches = token.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    let has_both = has(u8::is_ascii_alphabetic) && has(u8::is_ascii_digit);
    is_varied(token) && (has_both || (token.len() >= 20 && switches >= 3))
}

/// Five different bytes and more.
fn is_varied(token: &[u8]) -> bool {
    let mut seen = [false; 256];
    token.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() >= 5
}
