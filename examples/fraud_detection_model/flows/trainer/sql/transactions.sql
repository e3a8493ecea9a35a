SELECT time, amount, country, home_country, fraud
FROM transactions
WHERE time >= DATE '2024-01-01'
