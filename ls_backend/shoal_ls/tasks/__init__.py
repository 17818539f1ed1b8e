"""The tasks that people answer, made of what a run says: pure functions, no server."""

from shoal_ls.tasks.clusters import cluster_tasks
from shoal_ls.tasks.drafts import TaskDraft
from shoal_ls.tasks.images import image_tasks
from shoal_ls.tasks.rescues import rescue_tasks
from shoal_ls.tasks.said import Said, read

__all__ = ["Said", "TaskDraft", "cluster_tasks", "image_tasks", "read", "rescue_tasks"]
