"""The options of the workflow `structural-clusters` about its tuner: flags of `shoal tune`."""

from shoal.migrating.reads import boolean, choice, number, share, whole
from shoal.migrating.table import MOOT, Effect, Old, Row, Turn, flag


def _off(old: Old) -> str:
    return "tuning is off" if old.get("tuning.tuning") is False else ""


def _tuned(on: bool, _: Old) -> Effect:
    return Effect(flags=(("tune", "", None),) if on else ())


def _phases(on: bool, _: Old) -> Effect:
    return Effect(flags=(("tune", "--two-phases" if on else "--one-phase", None),))


def _one_phase(old: Old) -> str:
    return _off(old) or ("there is one phase" if old.get("tuning.phases.two_phases") is False else "")


def _tracked(on: bool, _: Old) -> Effect:
    return Effect(variables={"SHOAL_MLFLOW": "on" if on else "off"})


def _set(name: str) -> Turn:
    return flag("tune", name)


TUNING = (
    Row("tuning", "tuning", boolean, ("shoal tune",), turn=_tuned, listed=False,
        keys=("enabled", "tune", "run_tuning", "enable_tuning", "on"),
        note="`off` writes no space file and shows no command."),
    Row("tuning", "search", choice("grid", "evolution", evolutionary="evolution", genetic="evolution", ga="evolution",
                                   grid_search="grid", evolution_search="evolution"),
        ("shoal tune --search",), turn=_set("--search"), unless=_off, shown="one of the two",
        keys=("search_mode", "strategy", "method", "algorithm", "search_strategy", "search_type", "mode", "tuning_mode")),
    Row("tuning", "budget", whole, ("shoal tune --budget",), turn=_set("--budget"), unless=_off, listed=False,
        keys=("max_evaluations", "max_evals", "n_trials", "trials", "max_trials", "evaluations", "candidates",
              "n_candidates"),
        note="Candidates to evaluate, both phases together; 100 where it is left out."),
    Row("tuning", "search seed", whole, ("shoal tune --seed",), turn=_set("--seed"), unless=_off, listed=False,
        keys=("seed", "tuning_seed", "random_seed", "random_state")),
    Row("tuning.evolution", "population", whole, ("shoal tune --generation",), turn=_set("--generation"), unless=_off,
        keys=("population_size", "generation_size", "pop_size", "generation", "batch"), listed=False,
        note="Candidates that are evaluated side by side."),
    Row("tuning.phases", "two phases", boolean, ("shoal tune --two-phases", "shoal tune --one-phase"), turn=_phases,
        unless=_off, keys=("two_phase", "enabled", "use_two_phase", "use_two_phases", "two_phase_search"),
        shown="by the images", note="`off` is `--one-phase`."),
    Row("tuning.phases", "fraction", share, ("shoal tune --fraction",), turn=_set("--fraction"), unless=_one_phase,
        keys=("data_fraction", "phase1_fraction", "sample_fraction", "subset_fraction", "phase_1_fraction"),
        shown="shoal's"),
    Row("tuning.phases", "budget ratio", share, ("shoal tune --ratio",), turn=_set("--ratio"), unless=_one_phase,
        keys=("ratio", "phase1_budget_ratio", "phase1_ratio", "phase_1_budget_ratio"), shown="shoal's"),
    Row("tuning.phases", "top-k seeds", whole, ("shoal tune --top",), turn=_set("--top"), unless=_one_phase,
        keys=("top_k", "seeds", "top_k_candidates", "n_seeds", "phase2_top_k"), shown="shoal's"),
    Row("tuning.stop", "patience", whole, ("shoal tune --patience",), turn=_set("--patience"), unless=_off, shown="shoal's",
        keys=("plateau_patience", "patience_generations", "plateau_generations", "early_stopping_patience")),
    Row("tuning.stop", "minimum evaluations", whole, ("shoal tune --least",), turn=_set("--least"), unless=_off,
        keys=("min_evaluations", "min_evals", "min_trials", "minimum_evals", "least"), shown="shoal's"),
    Row("tuning.evolution", "mutation rate", number, (MOOT,), keys=("mutation", "mutation_probability"), listed=False,
        note="no effect, because the search has a mutation and a crossover of its own, the same for every space"),
    Row("tuning.evolution", "crossover rate", number, (MOOT,), keys=("crossover", "crossover_probability"), listed=False,
        note="no effect, because the search has a mutation and a crossover of its own, the same for every space"),
    Row("tuning", "plots for the top N", whole, ("shoal tune --full",), turn=_set("--full"), unless=_off, shown="shoal's",
        keys=("top_n_plots", "plot_top_n", "full_plots_top_n", "top_n", "n_top_plots", "plots_top_n"),
        note="The best N are run in full, report and all; `shoal run --from-trial N` does so for any."),
    Row("tuning", "MLflow runs", boolean, ("$SHOAL_MLFLOW",), turn=_tracked, unless=_off, listed=False,
        keys=("mlflow", "use_mlflow", "track", "mlflow_enabled", "log_mlflow")),
)  # fmt: skip
