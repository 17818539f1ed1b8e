"""The tasks that people answer, made of what a run says: pure functions, no server."""

from shoal_ls.tasks.clusters import cluster_tasks
from shoal_ls.tasks.drafts import TaskDraft
from shoal_ls.tasks.images import doubtful, image_tasks
from shoal_ls.tasks.rescues import asked, master, rescue_tasks
from shoal_ls.tasks.said import Said, asked_about, read

__all__ = [
    "Said", "TaskDraft", "asked", "asked_about", "cluster_tasks", "doubtful", "image_tasks", "master", "read",
    "rescue_tasks",
]  # fmt: skip
