"""A text classifier written for Label Studio's own ML backend, ported: it learns from what reviewers choose.

Only the imports differ from what such a model looks like there. Serve it with

    shoal serve state/ --model examples.ported_label_studio_model.model:TextClassifier
"""

import json
from typing import Any

from shoal_ls.model import LabelStudioMLBase, ModelResponse, PredictionValue

EVERY = 4
"""Examples after which it is fitted again."""


class TextClassifier(LabelStudioMLBase):
    """Proposes one of the configured choices for a text: logistic regression on character n-grams."""

    def setup(self) -> None:
        """Fit to the examples that were kept."""
        self.examples: dict[str, list[str]] = json.loads(self.get("examples") or "{}")
        self.classifier: Any = None
        self.train()

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> ModelResponse:
        """Return the likeliest choice for each text; nothing before there were examples of two."""
        from_name, to_name, key = self.label_interface.get_first_tag_occurence("Choices", "Text")
        classifier = self.classifier
        predictions = []
        for task in tasks:
            text = self.preload_task_data(task, task["data"][key])
            if classifier is None:
                predictions.append(PredictionValue(result=[], score=0))
                continue
            shares = classifier.predict_proba([text])[0]
            best = shares.argmax()
            region = {"from_name": from_name, "to_name": to_name, "type": "choices"}
            region["value"] = {"choices": [str(classifier.classes_[best])]}
            predictions.append(PredictionValue(result=[region], score=float(shares[best])))
        return ModelResponse(predictions=predictions, model_version=self.model_version)

    def fit(self, event: str, data: dict[str, Any], **kwargs: Any) -> None:
        """Keep the text and the choice of an annotation; fit again after every few."""
        if event not in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
            return
        from_name, _, key = self.label_interface.get_first_tag_occurence("Choices", "Text")
        chosen = [
            region["value"]["choices"][0] for region in data["annotation"]["result"] if region["from_name"] == from_name
        ]
        if not chosen or chosen[0] not in self.label_interface.get_tag(from_name).labels:
            return
        self.examples = {**self.examples, str(data["annotation"]["id"]): [data["task"]["data"][key], chosen[0]]}
        self.set("examples", json.dumps(self.examples))
        if len(self.examples) % EVERY == 0:
            self.train()

    def train(self) -> None:
        """Fit to all examples and name the version after their number."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        texts, labels = zip(*self.examples.values(), strict=True) if self.examples else ((), ())
        if len(set(labels)) < 2:
            return
        made = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)), LogisticRegression(C=10))
        self.classifier = made.fit(list(texts), list(labels))
        self.set("model_version", f"text-classifier-{len(self.examples)}")
