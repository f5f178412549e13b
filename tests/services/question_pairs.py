"""Pairs of questions: those that are nearly the same and are not, and those that are the same in other words."""


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(left, right) for left, right in (line.split(" | ") for line in text.strip().splitlines())]


TWINS = _pairs("""
What happened before the merge? | What happened after the merge?
What changed in 2019? | What changed in 2020?
Can I borrow with collateral? | Can I borrow without collateral?
Does Alice lend to Bob? | Does Bob lend to Alice?
Who lends to whom when A lends to B? | Who lends to whom when B lends to A?
Is staking safe? | Is staking not safe?
Why do validators get slashed? | Why don't validators get slashed?
Who founded the bank? | When was the bank founded?
Who founded the bank? | Where was the bank founded?
When did the movement begin? | Where did the movement begin?
What is the largest city? | What is the smallest city?
What is the largest city in France? | What are the largest cities in France?
What is layer 1? | What is layer 2?
What are the risks of staking? | What are the rewards of staking?
What is a validator? | What is validation?
What is a university? | What is a universe?
What is the law? | What is law?
What is a president? | What is the president?
What is the state of emergency? | What is a state of emergency?
How many points were scored in the first half? | How many points were scored in the second half?
How many people live in Warsaw? | How many people work in Warsaw?
Who is the chair of the IPCC? | Who was the chair of the IPCC?
Who is the chair of the IPCC? | Who is the first chair of the IPCC?
Is the fee paid by the lender? | Is the fee paid by the borrower?
How do I convert dollars to euros? | How do I convert euros to dollars?
Which flights go from Paris to London? | Which flights go from London to Paris?
What is more secure, proof of work or proof of stake? | What is less secure, proof of work or proof of stake?
At least how much must be paid? | At most how much must be paid?
Can all members vote? | Can some members vote?
Can only members vote? | Can members only vote?
What is C? | What is C++?
What is C++? | What is C#?
What is the value of x if x > 5? | What is the value of x if x < 5?
Is -5 allowed? | Is 5 allowed?
Is the rate 1.5 percent? | Is the rate 15 percent?
Is 1,000 the limit? | Is 1.000 the limit?
What costs $5? | What costs €5?
What does WHO recommend? | What does who recommend?
What is IT? | What is it?
What is Turkey? | What is turkey?
What is the price of Apple? | What is the price of apple?
How do banks in the US work? | How do banks in us work?
What is good? | What are goods?
What is a custom? | What are customs?
What are arms? | What is an arm?
What is new? | What is news?
Should I buy or sell? | Should I sell or buy?
Is it open on Monday? | Is it open on Sunday?
Is it open in the morning? | Is it open in the evening?
What is the maximum fee? | What is the minimum fee?
Which team won Super Bowl 50? | Which teams won Super Bowl 50?
Which team won Super Bowl 50? | Which team lost Super Bowl 50?
Did the bridge pass or fail the test? | Did the bridge fail or pass the test?
Who did John Elway play for in Super Bowl XXXIII? | How old was John Elway in Super Bowl XXXIII?
How does staking work? | Why does staking work?
What is the interest rate in Germany? | What is the interest rate in Austria?
How can I enable two-factor sign-in? | How can I disable two-factor sign-in?
Are deposits insured above 100,000 euros? | Are deposits insured below 100,000 euros?
Who is Anna's manager? | Who is the manager Anna?
Who does Anna manage? | Who manages Anna?
Who is Bob's mother? | Whose mother is Bob?
Will the price rise if supply falls? | Will the price fall if supply rises?
What did the user ask? | What did the user answer?
What has he done? | What has she done?
What must I do? | What may I do?
May I enter? | Must I enter?
What was the result in May? | What was the result in June?
Tell me about staking | What is staking?
What is a hot wallet? | What is a cold wallet?
Where can I deposit? | Where can I withdraw?
Is the contract valid until May 5? | Is the contract valid from May 5?
Can I leave a few? | Can I leave few?
Explain step 2 | Explain step 3
What is the capital of North Korea? | What is the capital of South Korea?
Does Japan export to Korea? | Does Korea export to Japan?
Is A bigger than B? | Is B bigger than A?
Is Warsaw a capital of Poland? | Is Warsaw the capital of Poland?
What's lost in a hack? | What has lost in a hack?
Let's eat, grandma | Let's eat grandma's
What is 5! | What is 5
Which rule applies inside the EU? | Which rule applies outside the EU?
When was the last audit? | When is the next audit?
What is life? | What is the meaning of life?
What is Warsaw? | What does Warsaw mean?
Is it exactly 5 percent? | Is it 5 percent?
No, sales fell? | No sales fell?
What is the power of attorney? | What is power of attorney?
Did he stop to smoke? | Did he stop smoking?
""")
"""Each asks for another answer than the other."""

SAME = _pairs("""
What is a flash loan? | what is a flash loan
What is a flash loan? | WHAT IS A FLASH LOAN?
What is a flash loan? | What  is a flash loan ?
What is a flash loan? | What's a flash loan?
What is a flash loan? | What are flash loans?
What is a flash loan? | Please tell me what a flash loan is.
What is a flash loan? | Could you explain what flash loans are?
What is a flash loan? | Can you tell me what a flash loan is, please?
What is a flash loan? | Define flash loan
What is a flash loan? | what is flash loan
What is a flash loan? | Hi, what is a flash loan?
What is a flash loan? | What exactly is a flash loan?
What is a flash loan? | I want to know what a flash loan is
What is a flash loan? | What is a flash-loan?
What is staking? | What's staking?
What is staking? | Define staking.
How do flash loans work? | How does a flash loan work?
How do flash loans work? | Explain how flash loans work.
How do flash loans work? | Can you explain how a flash loan works?
How do flash loans work? | how do flash-loans work??
How does staking work? | Tell me how staking works
Why is my position being liquidated? | why is my position being liquidated
What is the capital of France? | what's the capital of France?
What is the capital of France? | Tell me what the capital of France is.
Why don't validators vote? | Why do not validators vote?
Why can't I withdraw? | Why cannot I withdraw?
How is a loan authorised? | How is a loan authorized?
What are the risks of staking? | What are the risks of staking please
How can I reset my password? | how can I reset my password?!
How can I reset my password? | How do I reset my password?
What does staking mean? | What is the meaning of staking?
What does a health factor mean? | Tell me what a health factor means
What is a flash loan? | What is the definition of a flash loan?
Where is the office? | Could you tell me where the office is?
Is it “safe”? | Is it safe?
Who is the president of Poland? | Tell me who the president of Poland is
I\u2019m locked out. What now? | I'm locked out. What now?
""")
"""One question twice, and known as such."""

MISSED = _pairs("""
When was the first plastome sequenced? | Do you know when the first plastome was sequenced?
What is the capital of France? | What is capital of France
What is the capital of France? | Which city is the capital of France?
What is the capital of France? | France's capital is what?
What are the risks of staking? | What are risks of staking?
What are the risks of staking? | Which risks does staking have?
What does a health factor below one mean? | What does it mean when the health factor is below one?
Who did the National Anthem at Super Bowl 50? | Who did the Super Bowl 50 National Anthem?
How many points came in the last three minutes? | How many points came in the final three minutes?
What did the committee decide? | What was decided by the committee?
How long does a transfer take? | How long do transfers take?
""")
"""One question twice, and taken for two: that costs a call of the model, and no more."""
