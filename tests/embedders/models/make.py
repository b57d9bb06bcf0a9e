"""Makes the small models and tokenizers in this folder, and what the reference says about them.

    pip install onnx==1.22.* numpy tokenizers==0.23.* sentencepiece   # versions that were used: see VERSIONS
    python make.py

The texts are our own. `tiny/` is a model whose output for a piece is a row of a table: piece 5 ("broken") has a row of
NaN. `unigram/`, `unigram-split/` and `bpe/` are tokenizers alone, with `golden.json`: texts and their numbers.
"""
import base64, io, json, os, tempfile
import numpy as np, onnx, sentencepiece, tokenizers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
LEARNED = """The deploy script restarts the billing service and waits until its health check answers.
Marta prefers dark colours in her editor; she types quickly and reads slowly.
We don't use mocks for the database, because they're never quite like the real thing.
Version 2.14.3 of the parser fails on files that end without a newline, and 2.14.4 doesn't.
Nightly backups are kept for thirty days in a bucket in Frankfurt, then they are deleted.
The cat sat on the mat, the bat sat on the hat, and the rat ran past that.
Café, naïve, jalapeño and Zürich have letters that ASCII doesn't have.
数据库的备份每天晚上运行一次，保存三十天。东京和北京都很大。
Она живёт в Берлине и работает над поиском. Мы встретились вчера.
if (x == 10) { return "ok"; } // snake_case and camelCase, 100% of them
""" * 3
ASKED = [
    "", " ", "a", "The cat sat on the mat.", "the billing  service   restarts", "  leading and trailing  ", "don't they're I'll we've I'd I'm it's",
    "Version 2.14.3!", "数据库的备份", "東京タワー", "Она живёт в Берлине", "Ωmega ſtraße ﬁne ½ ① Ａｂｃ", "e\u0301te\u0301 nai\u0308ve", "tab\there\nand newline\r\n",
    "🦀 crab 👩‍👩‍👧 family", "snake_case camelCase x==10;", "\u200bzero\u00a0width", "한국어 텍스트", "नमस्ते", "aaaaaaaaaaaaaaaaaaaaaaaa", "…—“quoted”",
    "<unk> <s> </s> [CLS] [SEP]", "▁ already ▁marked", "1234567890", "x" * 60,
]


def write(folder, name, value):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=None, separators=(",", ":"))
        file.write("\n")


def golden(folder, tokenizer):
    write(folder, "tokenizer.json", json.loads(tokenizer.to_str()))
    # Special tokens that a text spells out are words to us: a text cannot end itself.
    asked = [text for text in ASKED if "<s>" not in text]
    write(folder, "golden.json", [[text, tokenizer.encode(text).ids] for text in asked])


def tiny():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "broken"]
    pieces += ["cat", "dog", "car", "##s", "runs", "drives", "the", "a", "fast", "on", "road", "grass"]
    rows = np.random.default_rng(7).normal(size=(len(pieces), 4)).astype(np.float32)
    rows[pieces.index("broken")] = np.nan
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    write("tiny", "tokenizer.json", json.loads(tokenizer.to_str()))
    write("tiny", "config.json", {"model_type": "bert", "hidden_size": 4, "max_position_embeddings": 16})
    write("tiny", "modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    write("tiny/1_Pooling", "config.json", {"word_embedding_dimension": 4, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", 4])
    # The mask is used, or the runtime would leave the input out: each row times 1.
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["found"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["found", "wide"], ["last_hidden_state"]),
    ]
    constants = [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(np.array([-1], dtype=np.int64), "last")]
    model = helper.make_model(helper.make_graph(nodes, "tiny", inputs, [output], constants), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(HERE, "tiny", "model.onnx"))
    asked = ["the cat runs fast", "a dog on the grass", "cars drive on the road", "", "unknown words"]
    vectors = []
    for text in asked:
        mean = rows[tokenizer.encode(text).ids].astype(np.float64).mean(axis=0)
        vectors.append([text, [float(x) for x in mean / np.linalg.norm(mean)]])
    write("tiny", "golden.json", vectors)


def charsmap():
    """SentencePiece's own format, of a few rules: its usual ones take 300 kB."""
    rules = {"Ａ": "A", "ｂ": "b", "ｃ": "c", "①": "1", "½": "1⁄2", "ﬁ": "fi", "ſ": "s", "e\u0301": "é", "i\u0308": "ï", "\u200b": "", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "…": "..."}
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8", delete=False) as file:
        for source, target in rules.items():
            file.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LEARNED.splitlines()), model_writer=model, vocab_size=190, hard_vocab_limit=False, normalization_rule_tsv=file.name, minloglevel=2)
    os.unlink(file.name)
    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def unigram(folder, normalizer, pre_tokenizer, specials):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(LEARNED.splitlines(), trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    golden(folder, tokenizer)


def bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(LEARNED.splitlines(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    golden("bpe", tokenizer)


tiny()
# As XLM-R and multilingual E5 have it, then as newer files do.
specials = ["<s>", "<pad>", "</s>", "<unk>"]
letters = charsmap()
unigram("unigram-split", normalizers.Precompiled(letters), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), specials)
unigram("unigram", normalizers.Sequence([normalizers.Precompiled(letters), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Metaspace(), specials)
bpe()
with open(os.path.join(HERE, "VERSIONS"), "w") as file:
    file.write("".join(f"{module.__name__} {module.__version__}\n" for module in (np, onnx, sentencepiece, tokenizers)))
