"""User code for models of the frameworks that have environments of their own."""

from collections.abc import Mapping

from tests.frameworks.rows import NUMBERS, Row

NET = """
import torch
X = X.astype(np.float32)
labels = torch.tensor((y == "stays").astype(int))
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
for _ in range(30):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(model(torch.tensor(X)), labels).backward()
    optimiser.step()
model.eval()
def logits():
    with torch.no_grad():
        return model(torch.tensor(X[:1]))[0]
"""
KERAS = """
import keras
X = X.astype(np.float32)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(X, (y == "stays").astype(int), epochs=3, verbose=0)
def logits():
    return model.predict(X[:1], verbose=0)[0]
"""
WORDS = """
import transformers
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a"]
with open("words.txt", "w") as file:
    file.write("\\n".join(words))
config = transformers.BertConfig(
    vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, max_position_embeddings=32, id2label={0: "negative", 1: "positive"},
)
model = transformers.pipeline(
    "text-classification", device="cpu",
    model=transformers.BertForSequenceClassification(config).eval(),
    tokenizer=transformers.BertTokenizerFast(vocab_file="words.txt"),
)
texts = ["a good film", "bad"]
"""
FLAVOUR = """
import os
import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression
frame = pd.DataFrame(X, columns=["age", "income", "visits", "days"])
trained = LogisticRegression().fit(frame, y)
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
mlflow.set_tracking_uri("mlruns")
"""
SOFTMAX = "np.exp(logits()) / np.exp(logits()).sum()"


def mlflow_row(*, name: str, training: str, model: str = "model") -> Row:
    return Row(
        name=name,
        training=NUMBERS + FLAVOUR + training,
        model=model,
        example="frame[:5]",
        asked="frame.iloc[0]",
        expected="trained.predict(frame[:1])[0]",
        scores="trained.predict_proba(frame[:1])[0]",
        bad="{'age': 31.0}",
        refused='400 input: expected the column "income", got a row without it',
    )


HEAVY: Mapping[str, tuple[Row, ...]] = {
    "catboost": (
        Row(
            name="catboost",
            training=NUMBERS
            + "import catboost\n"
            + "model = catboost.CatBoostClassifier(iterations=5, verbose=0, "
            + "allow_writing_files=False).fit(X, y)\n",
        ),
    ),
    "torch": (
        Row(
            name="torch",
            training=NUMBERS + NET,
            method="softmax",
            expected="logits()",
            scores="logits().softmax(0)",
        ),
        Row(
            name="torchscript",
            training=NUMBERS + NET + "trained, model = model, torch.jit.script(model)\n",
            method="softmax",
            expected="logits()",
            scores="logits().softmax(0)",
        ),
    ),
    "tensorflow": (
        Row(
            name="keras",
            training=NUMBERS + KERAS,
            method="softmax",
            expected="logits()",
            scores=SOFTMAX,
        ),
        Row(
            name="savedmodel",
            training=NUMBERS + KERAS + "model.export('net', verbose=False)\n",
            model="'net'",
            method="softmax",
            expected="logits()",
            scores=SOFTMAX,
        ),
    ),
    "transformers": (
        Row(
            name="transformers",
            training=WORDS,
            example="texts",
            asked="texts[0]",
            expected="model(texts[0])[0]['label']",
            scores="{each['label']: each['score'] for each in model(texts[0], top_k=None)}",
            bad="[1, 2]",
            refused="400 input: expected a string, got [1,2].",
        ),
    ),
    "mlflow": (
        mlflow_row(
            name="mlflow",
            training="mlflow.sklearn.save_model(trained, 'saved', input_example=frame[:2])\n",
            model="'saved'",
        ),
        mlflow_row(
            name="logged",
            training="logged = mlflow.sklearn.log_model(trained, name='churn', "
            "input_example=frame[:2])\nmodel = mlflow.pyfunc.load_model(logged.model_uri)\n",
        ),
    ),
}
