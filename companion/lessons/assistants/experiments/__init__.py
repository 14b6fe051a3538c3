"""What the chapter trains: the story GPT in a world with an exact checker, and a published chat model with LoRA.

Chapter: ``book/algorithms/assistants.ipynb``.
"""
