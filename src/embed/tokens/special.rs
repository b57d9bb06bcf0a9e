//! The special pieces that a model wants around a text (`[CLS]` ... `[SEP]`), from the post-processor of a tokenizer's
//! file.

use serde_json::Value;

/// Numbers before and after those of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    pub before: Vec<u32>,
    pub after: Vec<u32>,
}

impl Special {
    /// As `tokenizer.json` says for a single text.
    pub fn new(tokenizer: &Value) -> Result<Self, String> {
        let mut special = Self::default();
        special.add(&tokenizer["post_processor"])?;
        Ok(special)
    }

    fn add(&mut self, processor: &Value) -> Result<(), String> {
        match processor["type"].as_str().unwrap_or_default() {
            // Only moves what each piece points at.
            "ByteLevel" => Ok(()),
            "" if processor.is_null() => Ok(()),
            "Sequence" => processor["processors"].as_array().into_iter().flatten().try_for_each(|each| self.add(each)),
            "BertProcessing" | "RobertaProcessing" => {
                self.before.extend(number(&processor["cls"][1]));
                self.after.extend(number(&processor["sep"][1]));
                Ok(())
            }
            "TemplateProcessing" => self.add_template(processor),
            kind => Err(format!("its post-processor is `{kind}`, which is not known here")),
        }
    }

    fn add_template(&mut self, processor: &Value) -> Result<(), String> {
        let mut has_text = false;
        for part in processor["single"].as_array().into_iter().flatten() {
            if part["Sequence"].is_object() {
                has_text = true;
                continue;
            }
            let name = part["SpecialToken"]["id"].as_str().unwrap_or_default();
            let ids = processor["special_tokens"][name]["ids"].as_array();
            let ids = ids.ok_or_else(|| format!("its template names `{name}` and does not say its number"))?;
            if has_text { &mut self.after } else { &mut self.before }.extend(ids.iter().filter_map(number));
        }
        Ok(())
    }
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}
