"""Learning from decisions: a head on the run's embeddings that says which cluster an image belongs to.

`train` fits one and lets it take over where it is better on decisions that no head has ever been fitted to;
`current_head` is the one to predict with; `rollback` goes back to the one before.
"""

from shoal_ls.learning.head import Head, HeadRecord
from shoal_ls.learning.heads import Heads, current_head, rollback
from shoal_ls.learning.jobs import train_in_background
from shoal_ls.learning.training import Trained, train

__all__ = ["Head", "HeadRecord", "Heads", "Trained", "current_head", "rollback", "train", "train_in_background"]
