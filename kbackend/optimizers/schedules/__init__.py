"""Learning rates that change with the number of steps made."""

from kbackend.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

__all__ = ["LearningRateSchedule"]
